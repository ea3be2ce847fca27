SELECT id, password_hash, is_active, is_admin FROM users WHERE email = $1::text
