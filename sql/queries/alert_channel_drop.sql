DELETE FROM alert_channels WHERE id = $1::int
RETURNING id, audit_note($2::text::jsonb, 'channel.delete', NULL, id::text, jsonb_build_object('name', name))
