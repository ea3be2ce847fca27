SELECT retention_tidy_strays($1::timestamptz, $2::int, $3::int)
