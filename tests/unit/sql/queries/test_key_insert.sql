INSERT INTO project_keys (project_id, public_key) VALUES ($1::int, $2::uuid)
