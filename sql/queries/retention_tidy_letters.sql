-- Dead letters that first failed more than $2 days ago, $3 rows at most: how many went.
SELECT retention_tidy_letters($1::timestamptz, $2::int, $3::int)
