-- A new password ends the user's sessions, and a link to set one goes. No row: no such user.
WITH changed AS (
    UPDATE users SET password_hash = $2::text WHERE email = $1::text RETURNING id, audit_note(NULL, 'user.change_password', NULL, id::text)),
ended AS (DELETE FROM sessions WHERE user_id IN (SELECT id FROM changed)),
links AS (DELETE FROM user_links WHERE user_id IN (SELECT id FROM changed))
SELECT id FROM changed
