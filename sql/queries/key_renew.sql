-- Key $2 of project $1 gets the public key $3, by $4: the one that it had is unknown from now on. Columns as key_page.
UPDATE project_keys SET public_key = $3::uuid
 WHERE project_id = $1::int AND id = $2::bigint
RETURNING id, public_key, is_active, created_at, quotas, label, audit_note($4::text::jsonb, 'key.rotate', project_id, id::text, jsonb_build_object('label', label))
