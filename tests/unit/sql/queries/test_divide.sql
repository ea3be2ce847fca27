SELECT 1 / $1::int
