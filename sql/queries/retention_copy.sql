SELECT rows, bytes, dropped_rows, dropped_bytes, is_made
  FROM retention_copy($1::text::date, $2::smallint, $3::boolean, $4::bigint, $5::timestamptz, $6::int, $7::int)
