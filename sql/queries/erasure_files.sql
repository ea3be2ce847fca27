-- Spilled dead letters that belonged to requests ($1) are gone, with their sizes ($2).
UPDATE erasures e SET files = e.files + g.n, bytes = e.bytes + g.bytes
  FROM (SELECT f.erasure_id, count(*) AS n, sum(f.bytes) AS bytes FROM unnest($1::bigint[], $2::bigint[]) f(erasure_id, bytes) GROUP BY 1) g
 WHERE e.id = g.erasure_id
