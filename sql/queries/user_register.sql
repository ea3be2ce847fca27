-- A user who registered, with a session: a stranger, who sees the projects that they are made a member of and those that they make. $1 session hash, $2 its longest life in microseconds, $3 from where, $4 user agent, $5 e-mail, $6 password hash. No
-- row: the e-mail is taken.
WITH who AS (
    INSERT INTO users (email, password_hash, role, all_projects, last_login_at) VALUES ($5::text, $6::text, 'member', false, now())
        ON CONFLICT ON CONSTRAINT users_email_key DO NOTHING
    RETURNING id, audit_note($3::text::jsonb || jsonb_build_object('user', id, 'email', email), 'user.register', NULL, id::text))
INSERT INTO sessions (hash, user_id, expires_at, address, user_agent)
SELECT $1::bytea, id, now() + $2::bigint * interval '1 microsecond', ($3::text::jsonb->>'address')::inet, $4::text FROM who
RETURNING user_id
