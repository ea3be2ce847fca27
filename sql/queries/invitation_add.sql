-- An invitation by $1, which goes with the token that $1 names, with the hash $2 of its link: $3 e-mail or null, $4 role, $5 projects (an array of JSON) or null,
-- $6 until when it is good, $7 how many there may be. One row: why not, a project that is not there, then as invitation_page.
WITH by_token AS (SELECT id FROM api_tokens WHERE id = ($1::text::jsonb->>'token')::int FOR KEY SHARE),
who AS ( -- stays what they are until the end
    SELECT id, email, role FROM users
     WHERE id = ($1::text::jsonb->>'user')::int AND is_active AND is_admin AND ($1::jsonb->>'token' IS NULL OR EXISTS (SELECT FROM by_token)) FOR SHARE),
wanted AS (SELECT DISTINCT value::int AS id FROM jsonb_array_elements($5::text::jsonb)),
judged AS (
    SELECT (SELECT min(w.id) FROM wanted w WHERE NOT EXISTS (SELECT FROM projects p WHERE p.id = w.id)) AS missing,
           CASE WHEN NOT EXISTS (SELECT FROM who) THEN 'rights'
                WHEN $4::text = 'owner' AND (SELECT role FROM who) <> 'owner' THEN 'owner'
                WHEN EXISTS (SELECT FROM users u WHERE u.email = $3::text) THEN 'taken'
                WHEN (SELECT count(*) FROM user_links WHERE kind = 'invitation' AND expires_at > now()) >= $7::bigint THEN 'many' END AS refusal),
made AS (
    INSERT INTO user_links (hash, kind, email, role, project_ids, created_by, expires_at, token_id)
    SELECT $2::bytea, 'invitation', $3, $4, CASE WHEN $5 IS NOT NULL THEN ARRAY(SELECT id FROM wanted ORDER BY id) END, w.id, $6::timestamptz,
           (SELECT id FROM by_token)
      FROM who w, judged j WHERE j.missing IS NULL AND j.refusal IS NULL
    RETURNING *, audit_note($1::text::jsonb, 'invitation.create', NULL, id::text,
                            jsonb_build_object('email', email, 'role', role, 'project_ids', project_ids, 'expires_at', expires_at)))
SELECT j.refusal, j.missing, m.id, m.email, m.role, to_jsonb(m.project_ids)::text, m.created_by, w.email, m.created_at, m.expires_at
  FROM judged j LEFT JOIN made m ON true LEFT JOIN who w ON true
