-- The user of an API token by its hash; notes the use at most once a minute.
WITH hit AS (
    SELECT t.id, t.user_id FROM api_tokens t WHERE t.hash = $1::bytea AND (t.expires_at IS NULL OR t.expires_at > now())),
noted AS (
    UPDATE api_tokens t SET last_used_at = now() FROM hit
     WHERE t.id = hit.id AND (t.last_used_at IS NULL OR t.last_used_at < now() - interval '1 minute'))
SELECT u.id, u.email, u.is_admin, u.is_active FROM hit JOIN users u ON u.id = hit.user_id
