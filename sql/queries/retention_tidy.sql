SELECT retention_tidy($1::timestamptz, $2::int, $3::int) + retention_tidy_reports($1::timestamptz, $2::int, $3::int)
     + erasure_tidy($1::timestamptz, $3::int) + retention_tidy_monitors($1::timestamptz, $2::int, $3::int) + retention_tidy_feedback($1::timestamptz, $2::int, $3::int)
