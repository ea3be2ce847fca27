-- A new password ends the user's sessions. No row: no such user.
WITH changed AS (UPDATE users SET password_hash = $2::text WHERE email = $1::text RETURNING id),
ended AS (DELETE FROM sessions WHERE user_id IN (SELECT id FROM changed))
SELECT id FROM changed
