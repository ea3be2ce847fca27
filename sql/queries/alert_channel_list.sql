-- All, or channel $1, newest first. $2: with what they hold: the address of a webhook is a secret, and of the whole installation.
SELECT id, name, channel_type, CASE WHEN $2::boolean THEN alert_config_shown(config) ELSE '{}' END::text, is_enabled, failure_count, last_failure_at, last_failure_message, last_success_at, created_at, updated_at
  FROM alert_channels WHERE $1::int IS NULL OR id = $1 ORDER BY id DESC
