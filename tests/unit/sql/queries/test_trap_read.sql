-- What the foreign key's checks have read by the wrong index.
SELECT pg_stat_get_tuples_returned('trap_number'::regclass)
