SELECT id, email, role, is_admin, CASE WHEN is_admin OR all_projects THEN 'all' ELSE coalesce((SELECT string_agg(m.project_id::text, ' ' ORDER BY m.project_id) FROM project_members m JOIN projects p ON p.id = m.project_id
        WHERE m.user_id = u.id), 'none') END AS projects, is_active, created_at, last_login_at
  FROM users u ORDER BY id
