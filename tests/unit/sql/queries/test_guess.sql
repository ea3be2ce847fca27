-- Without a type the server takes $1 for an integer of four bytes.
SELECT coalesce($1, 7::int)::text
