UPDATE payload_dictionaries SET checked_at = checked_at - interval '2 hours', created_at = created_at - interval '2 hours' WHERE project_id = $1::int
