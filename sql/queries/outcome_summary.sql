-- What became of the items of project $1 since $2: kind 0, totals by category, outcome, reason and key; kind 1, by time ($3: hour or day), category and
-- outcome. No row: no such project; one row of nulls: nothing came.
WITH o AS MATERIALIZED (SELECT * FROM outcomes WHERE project_id = $1::int AND hour >= $2::timestamptz),
lines AS (
    SELECT 0 AS kind, NULL::timestamptz AS at, category, outcome, reason, key_id, sum(quantity)::bigint AS quantity
      FROM o GROUP BY category, outcome, reason, key_id
     UNION ALL
    SELECT 1, date_trunc($3::text, hour, 'UTC'), category, outcome, NULL, NULL, sum(quantity)::bigint
      FROM o GROUP BY 2, category, outcome)
SELECT l.kind::bigint, l.at, l.category::bigint, l.outcome::bigint, l.reason, l.key_id, l.quantity
  FROM projects p LEFT JOIN lines l ON true
 WHERE p.id = $1
 ORDER BY l.kind, l.at, l.category, l.outcome, l.reason, l.key_id
