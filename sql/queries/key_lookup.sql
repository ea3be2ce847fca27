SELECT public_key, project_id, id, is_active FROM project_keys WHERE public_key = $1
