-- Rules of project $1, newest first; only rule $2 unless that is null. No row: no such project; a row of nulls: none such.
SELECT r.id, r.project_id, r.name, r.alert_type, r.is_enabled, r.conditions::text, r.cooldown_minutes, r.last_triggered_at, r.created_at, r.updated_at,
       (SELECT coalesce(jsonb_agg(c.channel_id ORDER BY c.channel_id), '[]')::text FROM alert_rule_channels c WHERE c.rule_id = r.id)
  FROM projects p LEFT JOIN alert_rules r ON r.project_id = p.id AND ($2::int IS NULL OR r.id = $2)
 WHERE p.id = $1::int ORDER BY r.id DESC
