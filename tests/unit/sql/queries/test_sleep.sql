SELECT pg_sleep($1::bigint / 1000.0)
