SELECT t.id, t.prefix, u.email, t.description, array_to_string(t.scopes, ' '), array_to_string(t.project_ids, ' '), t.created_at, t.last_used_at, t.expires_at
  FROM api_tokens t JOIN users u ON u.id = t.user_id ORDER BY t.id DESC
