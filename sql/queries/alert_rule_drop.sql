DELETE FROM alert_rules WHERE id = $2::int AND project_id = $1::int AND EXISTS (SELECT FROM projects WHERE id = $1) RETURNING id
