-- Feedback $2 of project $1. Columns as feedback_page has them behind the first, and what came with it.
SELECT f.id, f.feedback_id, f.event_id, e.issue_id, e.id, f.received_at, f.name, f.email, f.message, f.url, f.source, f.release,
       f.environment, f.data::text
  FROM feedback f
  LEFT JOIN LATERAL (
    SELECT e.id, g.issue_id FROM events e JOIN groupings g ON g.project_id = e.project_id AND g.id = e.grouping_id
     WHERE e.project_id = f.project_id AND e.event_id = f.event_id ORDER BY e.id DESC LIMIT 1) e ON true
 WHERE f.project_id = $1::int AND f.id = $2::uuid AND EXISTS (SELECT FROM projects WHERE id = $1)
