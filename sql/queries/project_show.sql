-- A project with the key of its DSN: the oldest active one.
SELECT p.id, p.name, p.slug, k.public_key, c.stored, c.digested, p.created_at, p.updated_at, p.platform, p.quotas, p.retention_days,
       p.retention_events_per_issue, p.scrubbing, p.allowed_origins
  FROM projects p
  JOIN project_counters c ON c.project_id = p.id
  LEFT JOIN LATERAL (SELECT public_key FROM project_keys k WHERE k.project_id = p.id AND k.is_active ORDER BY k.id LIMIT 1) k ON true
 WHERE p.id = $1::int
