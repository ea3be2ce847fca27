-- The project whose number is $1 (null: none), else that whose slug is $2, with its newest active key, or null.
SELECT p.id, k.public_key
  FROM projects p
  LEFT JOIN LATERAL (SELECT public_key FROM project_keys k WHERE k.project_id = p.id AND k.is_active ORDER BY k.id DESC LIMIT 1) k ON true
 WHERE p.id = $1::int OR p.slug = $2::text
 ORDER BY p.id = $1::int DESC NULLS LAST LIMIT 1
