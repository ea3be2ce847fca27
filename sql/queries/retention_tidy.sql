-- Small things that grow with time and hold no counters, some rows of each: how many went.
SELECT retention_tidy($1::timestamptz, $2::int, $3::int) + retention_tidy_reports($1::timestamptz, $2::int, $3::int)
     + retention_tidy_monitors($1::timestamptz, $2::int, $3::int) + retention_tidy_feedback($1::timestamptz, $2::int, $3::int)
