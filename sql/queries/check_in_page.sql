-- A page of the check-ins of monitor $2 of project $1, the newest first, of environment $5 only if that is not null. $3 limit, $4 offset. First
-- column: how many there are. No row: no such monitor; nulls behind the first column: an empty page.
WITH m AS (SELECT project_id, id FROM monitors WHERE project_id = $1::int AND slug = $2::text AND EXISTS (SELECT FROM projects WHERE id = $1)),
found AS NOT MATERIALIZED (
    SELECT c.*, e.name AS environment
      FROM m JOIN check_ins c ON c.project_id = m.project_id AND c.monitor_id = m.id
      JOIN monitor_environments e ON e.project_id = c.project_id AND e.id = c.environment_id
     WHERE $5::text IS NULL OR e.name = $5::text),
page AS (SELECT * FROM found ORDER BY started_at DESC, id DESC LIMIT $3::bigint OFFSET $4::bigint)
SELECT t.n, c.id, c.check_in_id, c.environment, c.status, c.started_at, c.expected_at, c.ended_at, c.timeout_at, c.duration_ms, c.release, c.trace_id,
       c.event_id
  FROM m
 CROSS JOIN (SELECT count(*) AS n FROM found) t
  LEFT JOIN page c ON true
 ORDER BY c.started_at DESC, c.id DESC
