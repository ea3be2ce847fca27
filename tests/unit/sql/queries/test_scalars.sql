-- Everything that can be bound, as it came back and as the server prints it.
SELECT $1::boolean, $2::smallint, $3::int, $4::bigint, $5::text, $6::bytea, $7::uuid, $8::timestamptz,
       $1::boolean::text, $2::smallint::text, $3::int::text, $4::bigint::text, length($5::text)::text, encode($6::bytea, 'hex'), $7::uuid::text,
       $8::timestamptz::text
