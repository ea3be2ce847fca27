-- Requests that are not forgotten yet, those that nobody has worked on first; or, when $1 is a project, what a request for $2 field, $3 key would be.
SELECT o.id, o.project_id, o.field, o.key, o.before, o.horizon
  FROM (SELECT id, project_id, field, key, uuid7_floor(requested_at) AS before, horizon FROM erasures WHERE $1::int IS NULL AND forgotten_at IS NULL
         UNION ALL
        SELECT 0, p.id, $2::text, $3::text, uuid7_floor(now()), -1 FROM projects p WHERE p.id = $1) o
 ORDER BY o.horizon >= 0, o.id LIMIT 1000
