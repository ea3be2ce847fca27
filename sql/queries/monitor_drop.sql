-- Removes monitor $2 of project $1, or its environment $3 only; the check-ins follow with the next tidying. How many went. $4 by whom.
WITH m AS (SELECT id FROM monitors WHERE project_id = $1::int AND slug = $2::text AND EXISTS (SELECT FROM projects WHERE id = $1)),
environment AS (
    DELETE FROM monitor_environments e USING m WHERE e.project_id = $1 AND e.monitor_id = m.id AND e.name = $3::text RETURNING 1),
whole AS (DELETE FROM monitors d USING m WHERE $3 IS NULL AND d.project_id = $1 AND d.id = m.id RETURNING 1)
SELECT n, CASE WHEN n > 0 THEN audit_note($4::text::jsonb, 'monitor.delete', $1, $2, jsonb_strip_nulls(jsonb_build_object('environment', $3))) END
  FROM (SELECT (SELECT count(*) FROM environment) + (SELECT count(*) FROM whole) AS n) t
