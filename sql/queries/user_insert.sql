-- A user with role $3, kept to the projects $4 (null: sees all). No row: one of them is not there.
WITH wanted AS (SELECT DISTINCT unnest($4::text::int[]) AS id),
made AS (
    INSERT INTO users (email, password_hash, role, all_projects) SELECT $1::text, $2::text, $3::text, $4 IS NULL
     WHERE NOT EXISTS (SELECT FROM wanted w WHERE NOT EXISTS (SELECT FROM projects p WHERE p.id = w.id))
    RETURNING id, audit_note(NULL, 'user.create', NULL, id::text, jsonb_build_object('email', email, 'role', role))),
joined AS (INSERT INTO project_members (project_id, user_id) SELECT w.id, m.id FROM made m, wanted w)
SELECT id FROM made
