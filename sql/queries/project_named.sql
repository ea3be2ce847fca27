-- The project whose number is $1 (null: none), else that whose slug is $2, with its oldest active key, or null; $3, $4: http_bind_reach().
SELECT p.id, k.public_key
  FROM projects p
  LEFT JOIN LATERAL (SELECT public_key FROM project_keys k WHERE k.project_id = p.id AND k.is_active ORDER BY k.id LIMIT 1) k ON true
 WHERE (p.id = $1::int OR p.slug = $2::text)
   AND ($3::int IS NULL OR p.id IN (SELECT m.project_id FROM project_members m WHERE m.user_id = $3)) AND ($4::text IS NULL OR p.id = ANY ($4::text::int[]))
 ORDER BY p.id = $1::int DESC NULLS LAST LIMIT 1
