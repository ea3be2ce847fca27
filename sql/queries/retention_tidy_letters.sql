-- Dead letters that first failed more than $2 days ago (0: none is too old), $3 rows at most: how many went.
SELECT retention_tidy_letters($1::timestamptz, nullif($2::int, 0), $3::int)
