-- What was done, the newest first: before $1, at most $2. $3 by user, $4 in project, $5 action; null: any.
SELECT id, at, user_id, user_email, token_id, host(address), action, project_id, target, details::text
  FROM audit_log
 WHERE id < $1::bigint AND ($3::int IS NULL OR user_id = $3) AND ($4::int IS NULL OR project_id = $4) AND ($5::text IS NULL OR action = $5)
 ORDER BY id DESC LIMIT $2::bigint
