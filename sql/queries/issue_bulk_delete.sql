-- Issues $11 of project $1 go, or, where that is null, those that meet conditions ($3 to $10: groups, negated, fields, keys, ops, texts, numbers, times; for user $2), $12 of them
-- at most: how many, and whether there are more; by $13. No row: no such project.
WITH found AS MATERIALIZED (
    SELECT coalesce($11::uuid[], ARRAY(
        SELECT s.issue_id FROM issues_search(ARRAY[p.id], $2::int, 'all', $3::int[], $4::boolean[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bigint[], $10::timestamptz[],
        'digest_order', 'desc', $12::bigint + 1, 0, NULL, NULL, NULL, NULL) s)) AS ids
      FROM projects p WHERE p.id = $1::int)
SELECT count(d.id), cardinality(f.ids) > $12
  FROM found f
  LEFT JOIN LATERAL (
    SELECT d.id, audit_note($13::text::jsonb, 'issue.delete', $1, d.id::text) FROM issues_delete($1, f.ids[1:$12::int]) d(id)) d ON true
 GROUP BY f.ids
