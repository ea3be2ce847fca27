DELETE FROM api_tokens WHERE id = $1::int
RETURNING id, audit_note(NULL, 'token.delete', NULL, id::text, jsonb_build_object('user', user_id, 'description', description))
