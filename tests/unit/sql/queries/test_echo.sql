SELECT $1::text, octet_length($1::text)
