SELECT CASE WHEN $2::smallint < 0 THEN strays_swap($3::bigint, $4::int) ELSE retention_swap_unless_held($1::text::date, $2, $3, $4) END
