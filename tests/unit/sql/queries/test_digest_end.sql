-- Ends the connections of this name and waits until they are gone (30 s at most): how many those are.
SELECT count(*) FILTER (WHERE pg_terminate_backend(pid, 30000)) FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'
