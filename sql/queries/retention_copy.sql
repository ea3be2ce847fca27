SELECT c.rows, c.bytes, c.dropped_rows, c.dropped_bytes, c.is_made
  FROM retention_copy($1::text::date, $2::smallint, $3::boolean, $4::bigint, $5::timestamptz, $6::int, $7::int) c WHERE $2 >= 0
 UNION ALL
SELECT c.rows, c.bytes, c.dropped_rows, c.dropped_bytes, c.is_made FROM strays_copy($4) c WHERE $2 < 0
