-- Key $2 of project $1 goes, by $3.
DELETE FROM project_keys WHERE project_id = $1::int AND id = $2::bigint
RETURNING id, audit_note($3::text::jsonb, 'key.delete', project_id, id::text, jsonb_build_object('label', label))
