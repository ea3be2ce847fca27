-- A rule of project $1: $2 name, $3 type, $4 enabled, $5 conditions, $6 minutes of cool-down, $7 channels (an array of JSON); $8 by whom; $9: they may use
-- channels. The first column is a channel that does not exist, or that they may not use, else null; then as alert_rule_list. No row: no such project.
WITH p AS (SELECT id FROM projects WHERE id = $1::int),
w AS (SELECT DISTINCT value::int AS id FROM jsonb_array_elements($7::text::jsonb)),
known AS (SELECT c.id FROM alert_channels c WHERE $9::bool AND c.id IN (SELECT id FROM w) FOR KEY SHARE), -- none of them goes before the end
u AS (SELECT min(id) AS id FROM (SELECT id FROM w EXCEPT SELECT id FROM known) x),
r AS (
    INSERT INTO alert_rules (project_id, name, alert_type, is_enabled, conditions, cooldown_minutes)
    SELECT p.id, $2::text, $3::text, $4::bool, $5::text::jsonb, $6::int FROM p, u WHERE u.id IS NULL
    RETURNING *, audit_note($8::text::jsonb, 'rule.create', project_id, id::text, jsonb_build_object('name', name, 'type', alert_type, 'is_enabled', is_enabled))),
linked AS (INSERT INTO alert_rule_channels (rule_id, channel_id) SELECT r.id, w.id FROM r, w RETURNING channel_id)
SELECT u.id, r.id, r.project_id, r.name, r.alert_type, r.is_enabled, r.conditions::text, r.cooldown_minutes, r.last_triggered_at, r.created_at, r.updated_at,
       (SELECT coalesce(jsonb_agg(channel_id ORDER BY channel_id), '[]')::text FROM linked)
  FROM p CROSS JOIN u LEFT JOIN r ON true
