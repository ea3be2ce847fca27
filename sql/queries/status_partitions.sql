-- The partitions of events, the newest day first, the default one last: day or null, rows by the last estimate or null, bytes with indexes.
SELECT CASE WHEN c.relname ~ '^events_\d{8}$' THEN to_char(to_date(substr(c.relname, 8), 'YYYYMMDD'), 'YYYY-MM-DD') END AS day,
       CASE WHEN c.reltuples >= 0 THEN c.reltuples::bigint END, pg_total_relation_size(c.oid)
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
 WHERE i.inhparent = 'events'::regclass
 ORDER BY day DESC NULLS LAST
