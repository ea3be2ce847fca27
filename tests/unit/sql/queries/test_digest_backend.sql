-- The process of some connection of this name.
SELECT coalesce(min(pid), 0)::bigint FROM pg_stat_activity WHERE application_name = $1
