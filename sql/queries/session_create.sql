-- A session for an active user. $1 hash, $2 longest life in microseconds, $3 from where, $4 user agent, $5 user. No row: the user is gone or disabled.
WITH who AS (
    UPDATE users SET last_login_at = now() WHERE id = $5::int AND is_active
    RETURNING id, audit_note($3::text::jsonb, 'user.login', NULL, id::text))
INSERT INTO sessions (hash, user_id, expires_at, address, user_agent)
SELECT $1::bytea, id, now() + $2::bigint * interval '1 microsecond', ($3::text::jsonb->>'address')::inet, $4::text FROM who
RETURNING user_id
