-- What node $1 took since its last tick ($2 time in µs, $3 names, $4 quantities) goes in; out comes what ticks say that it does not know yet: newer than
-- $6 of the nodes $5, of others newer than $7. Ticks before $8 are added up by two minutes. What is older than the hour's window goes.
WITH gone AS (
    DELETE FROM quota_ticks WHERE tick < $7::bigint),
posted AS (
    INSERT INTO quota_ticks (node, tick, names, quantities) SELECT $1::uuid, $2::bigint, $3::bigint[], $4::bigint[] WHERE cardinality($3::bigint[]) > 0
        ON CONFLICT DO NOTHING)
SELECT t.node, max(t.tick), e.name, sum(e.quantity)::bigint
  FROM quota_ticks t
  LEFT JOIN unnest($5::uuid[], $6::bigint[]) s(node, tick) ON s.node = t.node
 CROSS JOIN LATERAL unnest(t.names, t.quantities) e(name, quantity)
 WHERE t.tick > coalesce(s.tick, $7)
 GROUP BY t.node, e.name, CASE WHEN t.tick > $8::bigint THEN t.tick ELSE t.tick / 120000000 END
