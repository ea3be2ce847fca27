-- $1 name, $2 type, $3 config, $4 enabled, $5 how many there may be; $6 by whom. Columns as alert_channel_list. No row: there are as many.
INSERT INTO alert_channels (name, channel_type, config, is_enabled)
SELECT $1::text, $2::text, $3::text::jsonb, $4::bool WHERE (SELECT count(*) FROM alert_channels) < $5::bigint
RETURNING id, name, channel_type, alert_config_shown(config)::text, is_enabled, failure_count, last_failure_at, last_failure_message, last_success_at, created_at, updated_at,
          audit_note($6::text::jsonb, 'channel.create', NULL, id::text, jsonb_build_object('name', name, 'type', channel_type, 'is_enabled', is_enabled))
