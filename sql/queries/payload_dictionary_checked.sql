-- The project's dictionary is as good as a new one.
UPDATE payload_dictionaries SET checked_at = now() WHERE project_id = $1::int AND number = $2::smallint
