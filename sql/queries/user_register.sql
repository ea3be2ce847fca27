-- A user who registered, with a session: a stranger, who sees the projects that they are made a member of and those that they make. $1 session hash, $2 its longest life in microseconds, $3 e-mail, $4 password hash. No row: the e-mail is
-- taken.
WITH who AS (
    INSERT INTO users (email, password_hash, role, all_projects, last_login_at) VALUES ($3::text, $4::text, 'member', false, now())
        ON CONFLICT ON CONSTRAINT users_email_key DO NOTHING RETURNING id)
INSERT INTO sessions (hash, user_id, expires_at)
SELECT $1::bytea, id, now() + $2::bigint * interval '1 microsecond' FROM who
RETURNING user_id
