-- A project with its first key. $1 name, $2 wanted slug (a suffix -1, -2, … is added when it is taken), $3 public key, $4 who
-- is made a member of it, or null; $5 by whom; $6 platform, or null.
WITH choice AS (
    SELECT s.slug FROM (SELECT $2::text AS slug, 0 AS n UNION ALL SELECT $2 || '-' || i, i FROM generate_series(1, 1000) i) s
     WHERE NOT EXISTS (SELECT FROM projects p WHERE p.slug = s.slug) ORDER BY s.n LIMIT 1),
made AS (
    INSERT INTO projects (name, slug, platform) SELECT $1::text, slug, $6::text FROM choice
    RETURNING *, audit_note($5::text::jsonb, 'project.create', id, id::text, jsonb_build_object('name', name, 'slug', slug))),
keyed AS (
    INSERT INTO project_keys (project_id, public_key) SELECT id, $3::uuid FROM made RETURNING public_key),
joined AS (
    INSERT INTO project_members (project_id, user_id) SELECT m.id, $4::int FROM made m WHERE $4 IS NOT NULL)
SELECT m.id, m.name, m.slug, k.public_key, 0::bigint AS stored, 0::bigint AS digested, m.created_at, m.updated_at,
       m.platform, m.quotas, m.retention_days, m.retention_events_per_issue, m.scrubbing, m.allowed_origins
  FROM made m, keyed k
