-- For `picket status`: what the database says of itself and of what Picket does there. One row.
SELECT current_setting('server_version'),
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
       (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'picket%' AND pid <> pg_backend_pid()),
       current_setting('max_connections')::int,
       pg_database_size(current_database()),
       b.last_number, r.batches, r.events, (SELECT digested_at FROM digest_batches ORDER BY id DESC LIMIT 1),
       d.dead, d.marked, d.stored
  FROM (SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS last_number FROM digest_batch_id) b
 CROSS JOIN LATERAL (
       SELECT count(*) AS batches, coalesce(sum(events), 0)::bigint AS events
         FROM digest_batches WHERE id > b.last_number - 50000 AND digested_at > now() - interval '1 minute') r -- far more than a minute makes
 CROSS JOIN (
       SELECT count(*) FILTER (WHERE status = 'dead') AS dead, count(*) FILTER (WHERE status = 'retry') AS marked,
              count(*) FILTER (WHERE status = 'stored' AND dropped_at IS NULL) AS stored
         FROM dead_letters) d
