DELETE FROM project_keys WHERE public_key = $1::uuid
