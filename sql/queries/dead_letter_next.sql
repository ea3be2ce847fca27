-- The first letter from $1 to $2 that is to be tried again; its day gets its partition.
SELECT d.id, d.record_id, d.project_id, d.event_id, d.received_at, d.sent_at, d.kind, d.meta, d.payload, ensure_partitions(d.received_at, 0, 0),
       (SELECT p.scrubbing FROM projects p WHERE p.id = d.project_id), coalesce(d.key_id, 0),
       host(d.remote_addr)
  FROM (SELECT * FROM dead_letters WHERE status = 'retry' AND id BETWEEN $1::bigint AND $2::bigint ORDER BY id LIMIT 1) d
