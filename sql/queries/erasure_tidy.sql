-- At $1, $2 rows at most. $3: this run has looked through everything, and requests may be forgotten.
SELECT erasure_tidy($1::timestamptz, $2::int, $3::boolean)
