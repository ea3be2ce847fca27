-- The user of a session by its hash; notes the use at most once a minute. $2: idle time in microseconds.
WITH hit AS (
    SELECT s.user_id FROM sessions s
     WHERE s.hash = $1::bytea AND s.expires_at > now() AND s.last_seen_at > now() - $2::bigint * interval '1 microsecond'),
noted AS (
    UPDATE sessions SET last_seen_at = now()
     WHERE hash = $1 AND last_seen_at < now() - interval '1 minute' AND EXISTS (SELECT FROM hit))
SELECT u.id, u.email, u.is_admin, u.is_active FROM hit JOIN users u ON u.id = hit.user_id
