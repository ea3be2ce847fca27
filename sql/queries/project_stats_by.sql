-- Events of project $1 since $2, by time ($3: hour or day): first of all, with a null value, then of each of the ten values that most had of $4, a release or an
-- environment. Value '': those beyond the bound. No row: no such project; one row of nulls: none.
WITH of_tags AS MATERIALIZED (
    SELECT h.tag_id, h.hour, h.events
      FROM tag_keys k
      JOIN project_tags c ON c.project_id = k.project_id AND c.key_id = k.id AND c.last_seen >= $2::timestamptz
      JOIN tag_hours h ON h.project_id = c.project_id AND h.tag_id = c.tag_id AND h.hour >= $2
     WHERE k.project_id = $1::int AND k.key = $4::text),
top AS (
    SELECT o.tag_id, t.value, row_number() OVER (ORDER BY o.events DESC, o.tag_id) AS place
      FROM (SELECT tag_id, sum(events) AS events FROM of_tags GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10) o
      JOIN tags t ON t.project_id = $1 AND t.id = o.tag_id),
lines AS (
    SELECT 0 AS place, NULL::text AS value, date_trunc($3::text, hour, 'UTC') AS at, sum(events)::bigint AS events
      FROM project_hours WHERE project_id = $1 AND hour >= $2 GROUP BY 3
     UNION ALL
    SELECT p.place, p.value, date_trunc($3, o.hour, 'UTC'), sum(o.events)::bigint
      FROM top p JOIN of_tags o ON o.tag_id = p.tag_id GROUP BY 1, 2, 3)
SELECT l.at, l.events, l.value
  FROM projects p LEFT JOIN lines l ON true
 WHERE p.id = $1
 ORDER BY l.place, l.at
