INSERT INTO users (email, password_hash, is_admin) VALUES ($1::text, $2::text, $3::bool) RETURNING id
