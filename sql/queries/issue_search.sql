-- A page of project $1's issues for user $2 that meet conditions ($3 to $10: groups, negated, fields, keys, ops, texts, numbers, times), and how many there are, counted up
-- to $16. $11 state, $12 sort, $13 order, $14 limit, $15 offset, $17 now. No row: no such project; one row with nulls behind the count: an empty page.
WITH found AS MATERIALIZED (
    SELECT s.*
      FROM projects p
     CROSS JOIN LATERAL issues_search(ARRAY[p.id], $2::int, $11::text, $3::int[], $4::boolean[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bigint[],
        $10::timestamptz[], $12::text, $13::text, $14::bigint, $15::bigint, $16::bigint, NULL, NULL, NULL) WITH ORDINALITY s
     WHERE p.id = $1::int),
shown AS (
    SELECT max(f.total) AS total, array_agg(f.project_id ORDER BY f.ordinality) AS projects, array_agg(f.issue_id ORDER BY f.ordinality) AS ids
      FROM found f HAVING count(*) > 0)
SELECT s.total, t.* FROM shown s LEFT JOIN LATERAL issue_items(s.projects, s.ids, $17::timestamptz) t ON true ORDER BY t.place
