-- Events in the default partition first, as a day of stage -1 (0029_strays.sql).
SELECT d.day::text, d.stage, d.drops
  FROM (SELECT * FROM strays_due() UNION ALL SELECT * FROM retention_due($1::timestamptz, $2::int, $3::int)) d
 ORDER BY d.stage >= 0, d.day
