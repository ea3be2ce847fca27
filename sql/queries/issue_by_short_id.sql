-- The issue with short id $1 ("MY-APP", without its number) and number $2, if user $3 sees it, and it is of the token's projects $4 if that is not null. At $5.
SELECT t.*
  FROM projects p
  JOIN issues i ON i.project_id = p.id AND i.number = $2::int
 CROSS JOIN LATERAL issue_items(ARRAY[i.project_id], ARRAY[i.id], $5::timestamptz) t
 WHERE p.slug = lower($1::text) AND user_sees($3::int, p.id)
   AND ($4::text IS NULL OR p.id = ANY ($4::text::int[]))
