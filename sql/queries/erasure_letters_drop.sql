-- Dead letters ($1) that belong to requests ($2) go.
WITH gone AS (
    DELETE FROM dead_letters d USING unnest($1::bigint[], $2::bigint[]) l(id, erasure_id) WHERE d.id = l.id
    RETURNING l.erasure_id, octet_length(d.payload) + octet_length(d.meta) AS bytes)
UPDATE erasures e SET dead_letters = e.dead_letters + g.n, bytes = e.bytes + g.bytes
  FROM (SELECT erasure_id, count(*) AS n, sum(bytes) AS bytes FROM gone GROUP BY 1) g
 WHERE e.id = g.erasure_id
