SELECT rows, bytes, dropped_rows, dropped_bytes, attachments, attachment_bytes
  FROM retention_preview($1::text::date, $2::bigint, $3::timestamptz, $4::int, $5::int)
