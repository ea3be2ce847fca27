SELECT p.id, p.address, p.payload, octet_length(p.payload) + 250,
       (SELECT d.content FROM payload_dictionaries d WHERE d.project_id = $2 AND d.number = payload_dictionary_number(p.payload))
  FROM erasure_page($1::text, $2::int, $3::uuid, $4::bigint, $5::bigint, $6::int, $7::bigint) p
