-- The user of an API token by its hash, whether they see project $2 (null: that is not asked), and what the token may; notes the use at most once a minute.
WITH hit AS (
    SELECT t.id, t.user_id, t.scopes, t.project_ids, t.expires_at FROM api_tokens t WHERE t.hash = $1::bytea AND (t.expires_at IS NULL OR t.expires_at > now())),
noted AS (
    UPDATE api_tokens t SET last_used_at = now() FROM hit
     WHERE t.id = hit.id AND (t.last_used_at IS NULL OR t.last_used_at < now() - interval '1 minute'))
SELECT u.id, u.email, u.is_active, u.role, u.is_admin OR u.all_projects AS sees_all,
       $2::int IS NOT NULL AND EXISTS (SELECT FROM projects p WHERE p.id = $2)
           AND (u.is_admin OR u.all_projects OR EXISTS (SELECT FROM project_members m WHERE m.project_id = $2 AND m.user_id = u.id)) AS sees,
       hit.id, hit.scopes::text, hit.project_ids::text, hit.expires_at, hit.project_ids IS NULL OR coalesce($2 = ANY (hit.project_ids), false) AS is_for
  FROM hit JOIN users u ON u.id = hit.user_id
