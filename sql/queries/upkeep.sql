-- At start and hourly: ended sessions out; partitions for the days of what is spooled ($1: no record is older) and ahead of need.
WITH ended AS (DELETE FROM sessions WHERE expires_at < now())
SELECT ensure_partitions(now(), greatest(1, least(400, (now() AT TIME ZONE 'UTC')::date - ($1::timestamptz AT TIME ZONE 'UTC')::date)), 3)
