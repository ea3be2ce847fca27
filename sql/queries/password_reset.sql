-- Who has the link with hash $1 sets password $2; $3 from where. The link goes, and any session. No row: there is no such link. The user is locked before the link,
-- as by everybody who takes both.
WITH target AS (
    SELECT u.id FROM user_links l JOIN users u ON u.id = l.user_id
     WHERE l.hash = $1::bytea AND l.kind = 'password_reset' AND l.expires_at > now() AND u.is_active FOR NO KEY UPDATE OF u),
link AS (DELETE FROM user_links WHERE hash = $1 AND user_id IN (SELECT id FROM target) RETURNING user_id),
who AS (
    UPDATE users u SET password_hash = $2::text FROM link l WHERE u.id = l.user_id
    RETURNING u.id, u.email, audit_note($3::text::jsonb || jsonb_build_object('user', u.id, 'email', u.email), 'user.reset_password', NULL, u.id::text)),
ended AS (DELETE FROM sessions WHERE user_id IN (SELECT id FROM who))
SELECT email FROM who
