-- At start and hourly: ended sessions and links out, and what the audit log has that is older than $2 days (0: nothing is too old); partitions for the days of what
-- is spooled ($1: no record is older) and ahead of need.
WITH ended AS (DELETE FROM sessions WHERE expires_at < now()),
links AS (DELETE FROM user_links WHERE expires_at < now()),
notes AS (DELETE FROM audit_log WHERE $2::bigint > 0 AND at < now() - $2 * interval '1 day')
SELECT ensure_partitions(now(), greatest(1, least(400, (now() AT TIME ZONE 'UTC')::date - ($1::timestamptz AT TIME ZONE 'UTC')::date)), 3)
