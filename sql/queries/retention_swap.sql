SELECT retention_swap($1::text::date, $2::smallint, $3::bigint, $4::int)
