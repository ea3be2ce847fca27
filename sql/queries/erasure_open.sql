-- Requests that are not forgotten yet, those that nobody has worked on first; or, when $1 is a project, what a request for $2 field, $3 key would be.
-- heard: every server has stored what it took before the request.
SELECT o.id, o.project_id, o.field, o.key, o.before, o.horizon, o.heard
  FROM (SELECT e.id, e.project_id, e.field, e.key, uuid7_floor(e.requested_at) AS before, e.horizon, e.requested_at < h.until AS heard
          FROM erasures e CROSS JOIN (SELECT erasure_heard_until() AS until) h WHERE $1::int IS NULL AND e.forgotten_at IS NULL
         UNION ALL
        SELECT 0, p.id, $2::text, $3::text, uuid7_floor(now()), -1, false FROM projects p WHERE p.id = $1) o
 ORDER BY o.horizon >= 0, o.id LIMIT 1000
