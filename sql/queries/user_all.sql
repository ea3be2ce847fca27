SELECT id, email, is_admin, is_active, created_at, last_login_at FROM users ORDER BY id
