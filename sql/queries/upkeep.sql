-- Hourly: partitions ahead of need, ended sessions out.
WITH ended AS (DELETE FROM sessions WHERE expires_at < now())
SELECT ensure_partitions(now(), 1, 3)
