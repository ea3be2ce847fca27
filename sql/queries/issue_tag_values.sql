-- Values of the key $3 in issue $2 of project $1, those of most events first: at most $4 behind the first $5, with the number of all and the events of all. Value '':
-- those beyond the bound. No row: no such issue; a row of nulls but for the numbers: none there.
WITH found AS MATERIALIZED (
    SELECT k.value, c.events, c.first_seen, c.last_seen
      FROM issue_tags c JOIN tags k ON k.project_id = c.project_id AND k.id = c.tag_id
     WHERE c.project_id = $1::int AND c.issue_id = $2::uuid AND k.key = $3::text)
SELECT n.total, n.events, f.value, f.events, f.first_seen, f.last_seen
  FROM (SELECT FROM issues i JOIN projects p ON p.id = i.project_id WHERE i.project_id = $1 AND i.id = $2) i
 CROSS JOIN (SELECT count(*) AS total, coalesce(sum(events), 0)::bigint AS events FROM found) n
  LEFT JOIN LATERAL (SELECT * FROM found ORDER BY events DESC, value LIMIT $4::bigint OFFSET $5::bigint) f ON true
 ORDER BY f.events DESC, f.value
