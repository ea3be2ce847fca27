-- A token of user $3, with the scopes $6 and for the projects $7 (null: all of either). $8: the projects of the token that makes it, or null. One row: a project
-- that the user does not see, or the token that makes it is not for; else the new one's. $9 by whom.
WITH wanted AS (SELECT DISTINCT unnest($7::text::int[]) AS id),
unseen AS (SELECT min(w.id) AS id FROM wanted w WHERE NOT user_sees($3::int, w.id)),
foreign_one AS (SELECT min(w.id) AS id FROM wanted w WHERE w.id <> ALL ($8::text::int[])),
made AS (
    INSERT INTO api_tokens (hash, prefix, user_id, description, expires_at, scopes, project_ids)
    SELECT $1::bytea, $2::text, $3, $4::text, $5::timestamptz, $6::text::text[], CASE WHEN $7 IS NOT NULL THEN ARRAY(SELECT id FROM wanted ORDER BY id) END
      FROM unseen u, foreign_one f WHERE u.id IS NULL AND f.id IS NULL
    RETURNING *, audit_note($9::text::jsonb, 'token.create', NULL, id::text,
                            jsonb_build_object('description', description, 'expires_at', expires_at, 'scopes', scopes, 'project_ids', project_ids)))
SELECT u.id, f.id, m.id, m.created_at, m.expires_at, to_json(m.scopes)::text, to_json(m.project_ids)::text FROM unseen u CROSS JOIN foreign_one f LEFT JOIN made m ON true
