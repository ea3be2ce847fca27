-- Users in the order of their ids: behind $1, at most $2; or $3 alone.
SELECT id, email, role, is_active, all_projects, project_ids, created_at, last_login_at
  FROM users_shown WHERE CASE WHEN $3::int IS NULL THEN id > $1::bigint ELSE id = $3 END ORDER BY id LIMIT $2::bigint
