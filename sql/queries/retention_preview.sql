-- A day without a partition stands for the default one, of which nothing is dropped.
SELECT p.rows, p.bytes, p.dropped_rows, p.dropped_bytes, p.attachments, p.attachment_bytes
  FROM retention_preview($1::text::date, $2::bigint, $3::timestamptz, $4::int, $5::int) p WHERE to_regclass(events_day($1::text::date)) IS NOT NULL
 UNION ALL
SELECT coalesce(sum(d.rows), 0)::bigint, coalesce(sum(d.bytes), 0)::bigint, 0, 0, 0, 0 FROM strays_days() d HAVING to_regclass(events_day($1::text::date)) IS NULL
