-- Rule $2 of project $1. Null: as it was. $3 name, $4 enabled, $5 conditions, $6 minutes of cool-down, $7 channels (an array of JSON), which replace the old
-- ones; $8 by whom; $9: they may use channels, else only those that the rule has. The first column is a channel that does not exist, or that they may not use,
-- else null; then as alert_rule_list. No row: no such rule.
WITH o AS (SELECT id FROM alert_rules WHERE id = $2::int AND project_id = $1::int AND EXISTS (SELECT FROM projects WHERE id = $1) FOR UPDATE),
w AS (SELECT DISTINCT value::int AS id FROM jsonb_array_elements(coalesce($7::text, '[]')::jsonb)),
known AS (
    SELECT c.id FROM alert_channels c
     WHERE c.id IN (SELECT id FROM w) AND ($9::bool OR EXISTS (SELECT FROM o JOIN alert_rule_channels l ON l.rule_id = o.id AND l.channel_id = c.id))
       FOR KEY SHARE), -- none of them goes before the end
u AS (SELECT min(id) AS id FROM (SELECT id FROM w EXCEPT SELECT id FROM known) x),
r AS (
    UPDATE alert_rules x
       SET name = coalesce($3::text, x.name), is_enabled = coalesce($4::bool, x.is_enabled), conditions = coalesce($5::text::jsonb, x.conditions),
           cooldown_minutes = coalesce($6::int, x.cooldown_minutes), updated_at = now()
      FROM o, u WHERE x.id = o.id AND u.id IS NULL
    RETURNING x.*, audit_note($8::text::jsonb, CASE WHEN num_nonnulls($3::text, $4::bool, $5::text, $6::int, $7::text) > 0 THEN 'rule.change' END, x.project_id, x.id::text,
                       jsonb_strip_nulls(jsonb_build_object(
                       'name', $3::text, 'is_enabled', $4::bool, 'conditions', $5::text::jsonb, 'cooldown_minutes', $6::int, 'channel_ids', $7::text::jsonb))))
SELECT u.id, r.id, r.project_id, r.name, r.alert_type, r.is_enabled, r.conditions::text, r.cooldown_minutes, r.last_triggered_at, r.created_at, r.updated_at,
       CASE WHEN r.id IS NOT NULL
            THEN alert_rule_link(r.id, CASE WHEN $7 IS NOT NULL THEN ARRAY(SELECT w.id FROM w) END)::text END
  FROM o CROSS JOIN u LEFT JOIN r ON r.id = o.id
