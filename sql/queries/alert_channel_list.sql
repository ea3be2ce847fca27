-- All, or channel $1, newest first.
SELECT id, name, channel_type, alert_config_shown(config)::text, is_enabled, failure_count, last_failure_at, last_failure_message, last_success_at, created_at, updated_at
  FROM alert_channels WHERE $1::int IS NULL OR id = $1 ORDER BY id DESC
