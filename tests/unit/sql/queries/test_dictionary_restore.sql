-- As a backup from before the first: its number is free again.
DELETE FROM payload_dictionaries WHERE project_id = $1::int
