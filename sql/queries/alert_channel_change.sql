-- Channel $1. Null: as it was. $2 name; $3 config, which replaces the old one; $4 enabled; why $3 is no config of a webhook, Slack, e-mail: $5, $6, $7; $8 by whom.
-- The first column says why it is refused, else null; then as alert_channel_list. No row: no such channel.
WITH o AS (SELECT * FROM alert_channels WHERE id = $1::int FOR UPDATE),
judged AS (
    SELECT o.id, o.config, CASE WHEN $3::text IS NOT NULL THEN coalesce(
               CASE o.channel_type WHEN 'webhook' THEN $5::text WHEN 'slack' THEN $6::text ELSE $7::text END,
               alert_config_refusal(o.config, $3::text::jsonb)) END AS refusal
      FROM o),
changed AS (
    UPDATE alert_channels c
       SET name = coalesce($2::text, c.name), is_enabled = coalesce($4::bool, c.is_enabled), updated_at = now(),
           config = CASE WHEN $3 IS NULL THEN c.config ELSE alert_config_kept(j.config, $3::text::jsonb) END
      FROM judged j WHERE c.id = j.id AND j.refusal IS NULL
    RETURNING c.*, audit_note($8::text::jsonb, CASE WHEN num_nonnulls($2::text, $3::text, $4::bool) > 0 THEN 'channel.change' END, NULL, c.id::text,
                       jsonb_strip_nulls(jsonb_build_object(
                       'name', $2::text, 'is_enabled', $4::bool, 'config', CASE WHEN $3 IS NOT NULL THEN 'changed' END))))
SELECT j.refusal, c.id, c.name, c.channel_type, alert_config_shown(c.config)::text, c.is_enabled, c.failure_count, c.last_failure_at, c.last_failure_message,
       c.last_success_at, c.created_at, c.updated_at
  FROM judged j LEFT JOIN changed c ON c.id = j.id
