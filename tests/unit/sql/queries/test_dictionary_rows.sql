SELECT payload, payload_dictionary(project_id, payload), coalesce(payload_dictionary_number(payload), 0)::int FROM events WHERE project_id = $1::int ORDER BY id
