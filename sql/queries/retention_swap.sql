SELECT retention_swap_unless_held($1::text::date, $2::smallint, $3::bigint, $4::int)
