SELECT pid::bigint FROM (SELECT split_part(pg_read_file('postmaster.pid'), E'\n', 1) AS pid) p
