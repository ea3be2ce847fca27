-- Events of project $1 since $2, by time ($3: hour or day); of all, or of those with the tag $4 = $5, a release or an environment. No row: no such project; one row of
-- nulls: none.
WITH hours AS MATERIALIZED (
    SELECT hour, events FROM project_hours WHERE project_id = $1::int AND hour >= $2::timestamptz AND $4::text IS NULL
     UNION ALL
    SELECT h.hour, h.events
      FROM tags t JOIN tag_hours h ON h.project_id = t.project_id AND h.tag_id = t.id
     WHERE t.project_id = $1 AND t.key = $4 AND t.value = $5::text AND h.hour >= $2)
SELECT h.at, h.events
  FROM projects p
  LEFT JOIN (SELECT date_trunc($3::text, hour, 'UTC') AS at, sum(events)::bigint AS events FROM hours GROUP BY 1) h ON true
 WHERE p.id = $1
 ORDER BY h.at
