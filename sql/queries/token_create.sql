-- A token of user $3, with the scopes $6 and for the projects $7 (null: all of either, or what the token $8 has, which makes it; null: none does). One row: a
-- project that the user does not see, or that $8 is not for; whether $8 is gone; else the new one's. $9 by whom.
WITH by_token AS (SELECT project_ids FROM api_tokens WHERE id = $8::int FOR SHARE),
wanted AS (SELECT DISTINCT unnest($7::text::int[]) AS id),
unseen AS (SELECT min(w.id) AS id FROM wanted w WHERE NOT user_sees($3::int, w.id)),
foreign_one AS (SELECT min(w.id) AS id FROM wanted w, by_token b WHERE w.id <> ALL (b.project_ids)),
gone AS (SELECT $8 IS NOT NULL AND NOT EXISTS (SELECT FROM by_token) AS yes),
made AS (
    INSERT INTO api_tokens (hash, prefix, user_id, description, expires_at, scopes, project_ids, parent_id)
    SELECT $1::bytea, $2::text, $3, $4::text, $5::timestamptz, $6::text::text[], CASE WHEN $7 IS NOT NULL THEN ARRAY(SELECT id FROM wanted ORDER BY id) END, $8
      FROM unseen u, foreign_one f, gone g WHERE u.id IS NULL AND f.id IS NULL AND NOT g.yes
    RETURNING *, audit_note($9::text::jsonb, 'token.create', NULL, id::text,
                            jsonb_build_object('description', description, 'expires_at', expires_at, 'scopes', scopes, 'project_ids', project_ids)))
SELECT u.id, f.id, g.yes, m.id, m.created_at, m.expires_at, to_json(m.scopes)::text, to_json(m.project_ids)::text
  FROM unseen u CROSS JOIN foreign_one f CROSS JOIN gone g LEFT JOIN made m ON true
