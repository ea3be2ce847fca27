-- Many keys for a project in one transaction: the md5 of 1, 2, ….
INSERT INTO project_keys (project_id, public_key) SELECT $1::int, md5(i::text)::uuid FROM generate_series(1, $2::int) i
