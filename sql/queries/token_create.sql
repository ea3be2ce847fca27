INSERT INTO api_tokens (hash, prefix, user_id, description, expires_at)
VALUES ($1::bytea, $2::text, $3::int, $4::text, $5::timestamptz) RETURNING id, created_at
