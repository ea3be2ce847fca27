-- The project's next dictionary. Somebody else was faster: his stays.
INSERT INTO payload_dictionaries (project_id, number, checksum, content)
SELECT id, $2::smallint, $3::bigint, $4::bytea FROM projects WHERE id = $1::int
    ON CONFLICT DO NOTHING
