DELETE FROM alert_rules WHERE id = $2::int AND project_id = $1::int AND EXISTS (SELECT FROM projects WHERE id = $1)
RETURNING id, audit_note($3::text::jsonb, 'rule.delete', project_id, id::text, jsonb_build_object('name', name, 'type', alert_type))
