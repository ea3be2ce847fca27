-- A page of project $1's feedback, the newest first, with the issue and the row of the event that it is about. $2 limit, $3 offset, $4 event or
-- null. First column: how many there are. No row: no such project; nulls behind the first column: an empty page.
WITH found AS NOT MATERIALIZED (SELECT * FROM feedback WHERE project_id = $1::int AND ($4::uuid IS NULL OR event_id = $4::uuid)),
page AS (
    SELECT project_id, id, feedback_id, event_id, received_at, name, email, message, url, source, release, environment
      FROM found ORDER BY id DESC LIMIT $2::bigint OFFSET $3::bigint)
SELECT t.n, f.id, f.feedback_id, f.event_id, e.issue_id, e.id, f.received_at, f.name, f.email, f.message, f.url, f.source, f.release,
       f.environment
  FROM projects p
 CROSS JOIN (SELECT count(*) AS n FROM found) t
  LEFT JOIN page f ON true
  LEFT JOIN LATERAL (
    SELECT e.id, g.issue_id FROM events e JOIN groupings g ON g.project_id = e.project_id AND g.id = e.grouping_id
     WHERE e.project_id = f.project_id AND e.event_id = f.event_id ORDER BY e.id DESC LIMIT 1) e ON true
 WHERE p.id = $1
 ORDER BY f.id DESC
