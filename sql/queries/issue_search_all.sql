-- Issues of the projects that user $2 sees, of the token's $1 if that is not null, of $18 if that is not null, that meet conditions ($3 to $10: groups,
-- negated, fields, keys, ops, texts, numbers, times). $11 state, $12 sort, $13 order, $14 limit; behind $15 (a time) or $16 (a number) and $17 (an id), unless that is null. $19 now.
WITH found AS MATERIALIZED (
    SELECT s.*
      FROM issues_search(
        ARRAY(SELECT p.id FROM projects p JOIN users u ON u.id = $2
               WHERE (u.is_admin OR u.all_projects OR EXISTS (SELECT FROM project_members m WHERE m.project_id = p.id AND m.user_id = u.id))
                 AND ($18::int[] IS NULL OR p.id = ANY ($18))
                 AND ($1::text IS NULL OR p.id = ANY ($1::text::int[])) ORDER BY p.id),
        $2::int, $11::text, $3::int[], $4::boolean[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bigint[], $10::timestamptz[], $12::text, $13::text,
        $14::bigint, 0, NULL, $15::timestamptz, $16::bigint, $17::uuid) WITH ORDINALITY s),
shown AS (SELECT array_agg(f.project_id ORDER BY f.ordinality) AS projects, array_agg(f.issue_id ORDER BY f.ordinality) AS ids FROM found f)
SELECT f.at, f.n, t.*
  FROM shown s CROSS JOIN LATERAL issue_items(s.projects, s.ids, $19::timestamptz) t JOIN found f ON f.ordinality = t.place
 ORDER BY t.place
