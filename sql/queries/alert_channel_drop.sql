DELETE FROM alert_channels WHERE id = $1::int RETURNING id
