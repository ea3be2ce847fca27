-- A page of project $1's monitors by slug with their environments, a row each; of slug $4 only, if that is not null. $2 limit, $3 offset. First
-- column: how many there are. No row: no such project; nulls behind the first column: an empty page; a null environment: it has none.
WITH found AS (SELECT * FROM monitors WHERE project_id = $1::int AND ($4::text IS NULL OR slug = $4::text)),
page AS (SELECT * FROM found ORDER BY slug LIMIT $2::bigint OFFSET $3::bigint)
SELECT t.n, m.slug, m.name, m.config->>'type', m.config->>'value', m.config->>'unit', m.config->>'timezone', (m.config->>'margin')::bigint,
       (m.config->>'max_runtime')::bigint, (m.config->>'failures')::bigint, (m.config->>'recovery')::bigint, m.created_at, m.updated_at,
       e.name, CASE WHEN e.dormant_at IS NULL THEN e.status ELSE 'dormant' END, e.last_check_in_at, e.next_expected_at, e.next_latest_at, e.failures::bigint, e.incident_at
  FROM projects p
 CROSS JOIN (SELECT count(*) AS n FROM found) t
  LEFT JOIN page m ON true
  LEFT JOIN monitor_environments e ON e.project_id = m.project_id AND e.monitor_id = m.id
 WHERE p.id = $1
 ORDER BY m.slug, e.name
