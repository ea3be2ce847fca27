-- A user's tokens, newest first; $2: everybody's; $3: this one alone.
SELECT t.id, t.prefix, t.description, t.created_at, t.last_used_at, t.expires_at, u.email, to_json(t.scopes)::text, to_json(t.project_ids)::text
  FROM api_tokens t JOIN users u ON u.id = t.user_id WHERE (t.user_id = $1::int OR $2::bool) AND ($3::int IS NULL OR t.id = $3) ORDER BY t.id DESC
