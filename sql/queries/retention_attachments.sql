SELECT rows, bytes FROM retention_attachments($1::timestamptz, $2::int, $3::int)
