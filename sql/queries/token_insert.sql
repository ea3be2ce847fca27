-- A token for the user with this e-mail, or, without one, for the first administrator. $5: end, null for none; $6 scopes, $7 projects, null: all of either. One
-- row: the user, or null; a project that is not there, or null; else the new token's.
WITH who AS (
    SELECT id FROM users WHERE CASE WHEN $3::text IS NULL THEN is_admin ELSE email = $3 END AND is_active ORDER BY id LIMIT 1),
wanted AS (SELECT DISTINCT unnest($7::text::int[]) AS id),
missing AS (SELECT min(w.id) AS id FROM wanted w WHERE NOT EXISTS (SELECT FROM projects p WHERE p.id = w.id)),
made AS (
    INSERT INTO api_tokens (hash, prefix, user_id, description, expires_at, scopes, project_ids)
    SELECT $1::bytea, $2::text, w.id, $4::text, $5::timestamptz, $6::text::text[], CASE WHEN $7 IS NOT NULL THEN ARRAY(SELECT id FROM wanted ORDER BY id) END
      FROM who w, missing m WHERE m.id IS NULL
    RETURNING id, user_id, audit_note(NULL, 'token.create', NULL, id::text,
                                      jsonb_build_object('user', user_id, 'description', description, 'expires_at', expires_at, 'scopes', scopes, 'project_ids', project_ids)))
SELECT w.id, m.id, t.id FROM missing m LEFT JOIN who w ON true LEFT JOIN made t ON true
