SELECT id, address, payload, octet_length(payload) + 250, payload_dictionary($2, payload)
  FROM erasure_page($1::text, $2::int, $3::uuid, $4::bigint, $5::bigint, $6::int, $7::bigint)
