-- A token for the user with this e-mail, or, without one, for the first administrator. No row: no such user. $5: end, null for none.
INSERT INTO api_tokens (hash, prefix, user_id, description, expires_at)
SELECT $1::bytea, $2::text, id, $4::text, $5::timestamptz FROM users
 WHERE CASE WHEN $3::text IS NULL THEN is_admin ELSE email = $3 END AND is_active ORDER BY id LIMIT 1
RETURNING id, user_id, created_at
