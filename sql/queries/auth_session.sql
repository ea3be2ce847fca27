-- The user of a session by its hash, and whether they see project $2 (null: that is not asked); notes the use at most once a minute. $3: idle time in
-- microseconds.
WITH hit AS (
    SELECT s.user_id FROM sessions s
     WHERE s.hash = $1::bytea AND s.expires_at > now() AND s.last_seen_at > now() - $3::bigint * interval '1 microsecond'),
noted AS (
    UPDATE sessions SET last_seen_at = now()
     WHERE hash = $1 AND last_seen_at < now() - interval '1 minute' AND EXISTS (SELECT FROM hit))
SELECT u.id, u.email, u.is_active, u.role, u.is_admin OR u.all_projects AS sees_all,
       $2::int IS NOT NULL AND EXISTS (SELECT FROM projects p WHERE p.id = $2)
           AND (u.is_admin OR u.all_projects OR EXISTS (SELECT FROM project_members m WHERE m.project_id = $2 AND m.user_id = u.id)) AS sees
  FROM hit JOIN users u ON u.id = hit.user_id
