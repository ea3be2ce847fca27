-- Arrays of every type, as the server prints them, with their lengths.
SELECT a::text, cardinality(a), array_ndims(a), array_lower(a, 1), b::text, c::text, d::text, e::text, f::text, g::text, h::text, i::text
  FROM (SELECT $1::boolean[] AS a, $2::smallint[] AS b, $3::int[] AS c, $4::bigint[] AS d, $5::text[] AS e, $6::bytea[] AS f, $7::uuid[] AS g,
               $8::timestamptz[] AS h, $9::inet[] AS i) t
