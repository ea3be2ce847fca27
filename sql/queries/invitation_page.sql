-- Invitations that are open, the newest first: before $1, at most $2.
SELECT l.id, l.email, l.role, to_jsonb(l.project_ids)::text, l.created_by, u.email, l.created_at, l.expires_at
  FROM user_links l LEFT JOIN users u ON u.id = l.created_by
 WHERE l.kind = 'invitation' AND l.expires_at > now() AND l.id < $1::bigint
 ORDER BY l.id DESC LIMIT $2::bigint
