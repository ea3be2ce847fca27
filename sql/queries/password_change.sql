-- User $1 gets password $3 for $2; all sessions but $4 end, and a link to set one goes. $5 from where. No row: the password is not $2 any more.
WITH who AS (
    UPDATE users SET password_hash = $3::text WHERE id = $1::int AND password_hash = $2::text AND is_active
    RETURNING id, audit_note($5::text::jsonb, 'user.change_password', NULL, id::text)),
ended AS (DELETE FROM sessions WHERE user_id IN (SELECT id FROM who) AND hash <> $4::bytea),
links AS (DELETE FROM user_links WHERE user_id IN (SELECT id FROM who))
SELECT id FROM who
