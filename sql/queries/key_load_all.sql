SELECT public_key, project_id, id, is_active FROM project_keys
