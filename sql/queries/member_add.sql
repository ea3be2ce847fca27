-- User $2, or that with the e-mail $3, becomes a member of project $1. No row: no such user, or no such project. Last column: they were none before. $4 by
-- whom. Whoever was added by another at the same time is found, too: that row is taken again, as it is.
WITH who AS (SELECT id, email, role, is_active FROM users WHERE id = $2::int OR email = $3::text FOR KEY SHARE),
made AS (
    INSERT INTO project_members AS m (project_id, user_id) SELECT p.id, w.id FROM who w, projects p WHERE p.id = $1::int
        ON CONFLICT (project_id, user_id) DO UPDATE SET added_at = m.added_at
    RETURNING user_id, added_at, xmax = 0 AS is_new, audit_note($4::text::jsonb, CASE WHEN xmax = 0 THEN 'member.add' END, project_id, user_id::text))
SELECT w.id, w.email, w.role, w.is_active, m.added_at, m.is_new FROM who w JOIN made m ON m.user_id = w.id
