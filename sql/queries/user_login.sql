SELECT id, password_hash, is_active, role FROM users WHERE email = $1::text
