SELECT number, content, checked_at > created_at FROM payload_dictionaries WHERE project_id = $1::int ORDER BY number
