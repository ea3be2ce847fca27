DELETE FROM alert_rules WHERE id = $2::int AND project_id = $1::int RETURNING id
