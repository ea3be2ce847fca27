SELECT day::text, stage, drops FROM retention_due($1::timestamptz, $2::int, $3::int)
