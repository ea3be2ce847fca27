-- A session for an active user. $1 hash, $2 longest life in microseconds, $3 user. No row: the user is gone or disabled.
WITH who AS (
    UPDATE users SET last_login_at = now() WHERE id = $3::int AND is_active RETURNING id)
INSERT INTO sessions (hash, user_id, expires_at)
SELECT $1::bytea, id, now() + $2::bigint * interval '1 microsecond' FROM who
RETURNING user_id
