-- Connections of this name that have answered a look-up of a key and wait for the next statement.
SELECT count(*) FROM pg_stat_activity
 WHERE application_name = $1 AND state = 'idle' AND query LIKE '%FROM project_keys WHERE public_key%'
