-- The issue with short id $1 ("MY-APP", without its number) and number $2, if user $3 sees it, and so does token $4 (the hash of it, or of a session, which is none). At $5.
SELECT t.*
  FROM projects p
  JOIN issues i ON i.project_id = p.id AND i.number = $2::int
 CROSS JOIN LATERAL issue_items(ARRAY[i.project_id], ARRAY[i.id], $5::timestamptz) t
 WHERE p.slug = lower($1::text) AND user_sees($3::int, p.id)
   AND NOT EXISTS (SELECT FROM api_tokens k WHERE k.hash = $4::bytea AND p.id <> ALL (k.project_ids))
