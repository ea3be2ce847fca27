-- Dead letters of projects $1 above number $2: at most $3, and no more when they have $4 bytes together.
SELECT d.id, d.project_id, d.record_id, d.kind, host(d.remote_addr), d.meta, d.payload, octet_length(d.payload) + octet_length(d.meta)
  FROM (SELECT l.*, sum(octet_length(l.payload)) OVER (ORDER BY l.id) - octet_length(l.payload) AS before
          FROM (SELECT * FROM dead_letters WHERE project_id = ANY ($1::bigint[]) AND id > $2::bigint ORDER BY id LIMIT $3::int) l) d
 WHERE d.before < $4::bigint ORDER BY d.id
