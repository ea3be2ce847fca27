-- User $2, or that with the e-mail $3, becomes a member of project $1. No row: no such user, or no such project. Last column: they were none before. $4 by
-- whom.
WITH who AS (SELECT id, email, role, is_active FROM users WHERE id = $2::int OR email = $3::text FOR KEY SHARE),
made AS (
    INSERT INTO project_members (project_id, user_id) SELECT p.id, w.id FROM who w, projects p WHERE p.id = $1::int
        ON CONFLICT DO NOTHING
    RETURNING user_id, added_at, audit_note($4::text::jsonb, 'member.add', project_id, user_id::text))
SELECT w.id, w.email, w.role, w.is_active, coalesce(n.added_at, m.added_at) AS added_at, n.user_id IS NOT NULL
  FROM who w LEFT JOIN made n ON n.user_id = w.id LEFT JOIN project_members m ON m.project_id = $1 AND m.user_id = w.id
 WHERE coalesce(n.added_at, m.added_at) IS NOT NULL
