SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DO $$ BEGIN%obstacle%' AND wait_event = 'PgSleep'
