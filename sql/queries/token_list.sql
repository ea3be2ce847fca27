-- A user's tokens, newest first; $2: everybody's.
SELECT t.id, t.prefix, t.description, t.created_at, t.last_used_at, t.expires_at, u.email
  FROM api_tokens t JOIN users u ON u.id = t.user_id WHERE t.user_id = $1::int OR $2::bool ORDER BY t.id DESC
