-- A link with hash $4 by which user $2, or the one with e-mail $3, sets a password, within $5 seconds; by $1, null: a command. It goes with the token that $1
-- names. An older one is replaced. One row: why not, then user, e-mail, end. Nobody: a row of nulls.
WITH known AS (SELECT id, email, role, is_active, is_admin FROM users WHERE id IN (($1::text::jsonb->>'user')::int, $2::int) OR email = $3::text ORDER BY id FOR SHARE),
by_token AS (SELECT id FROM api_tokens WHERE id = ($1::text::jsonb->>'token')::int FOR KEY SHARE),
target AS (SELECT * FROM known WHERE id = $2 OR email = $3),
judged AS (
    SELECT t.id, t.email,
           CASE WHEN NOT t.is_active THEN 'inactive'
                WHEN $1 IS NULL THEN NULL
                WHEN b.id IS NULL OR ($1::jsonb->>'token' IS NOT NULL AND NOT EXISTS (SELECT FROM by_token)) THEN 'rights'
                WHEN b.id = t.id THEN 'self'
                WHEN t.role = 'owner' AND b.role <> 'owner' THEN 'owner' END AS refusal
      FROM target t LEFT JOIN known b ON b.id = ($1::text::jsonb->>'user')::int AND b.is_active AND b.is_admin),
made AS (
    INSERT INTO user_links (hash, kind, user_id, created_by, expires_at, token_id)
    SELECT $4::bytea, 'password_reset', j.id, ($1::text::jsonb->>'user')::int, now() + $5::bigint * interval '1 second', (SELECT id FROM by_token)
      FROM judged j WHERE j.refusal IS NULL
        ON CONFLICT (user_id) WHERE kind = 'password_reset'
        DO UPDATE SET hash = excluded.hash, created_by = excluded.created_by, token_id = excluded.token_id, created_at = now(), expires_at = excluded.expires_at
    RETURNING user_id, expires_at, audit_note($1::text::jsonb, 'user.reset_link', NULL, user_id::text, jsonb_build_object('expires_at', expires_at)))
SELECT j.refusal, j.id, j.email, m.expires_at FROM (SELECT) one LEFT JOIN judged j ON true LEFT JOIN made m ON true
