-- A page of a project's issues and how many there are. $2 filter, $3 limit, $4 offset, $5 now. No row: no such project; one row with nulls: an empty page.
WITH project AS (SELECT upper(slug) AS slug, issue_count(id, $2::text) AS n FROM projects WHERE id = $1::int),
page AS (
    (SELECT * FROM issues WHERE project_id = $1 AND $2::text = 'open' AND NOT is_resolved AND NOT is_muted
      ORDER BY seen_second DESC, last_seen DESC, id DESC LIMIT $3::bigint OFFSET $4::bigint)
    UNION ALL
    (SELECT * FROM issues WHERE project_id = $1 AND $2 = 'resolved' AND is_resolved
      ORDER BY seen_second DESC, last_seen DESC, id DESC LIMIT $3 OFFSET $4)
    UNION ALL
    (SELECT * FROM issues WHERE project_id = $1 AND $2 = 'muted' AND is_muted AND NOT is_resolved
      ORDER BY seen_second DESC, last_seen DESC, id DESC LIMIT $3 OFFSET $4)
    UNION ALL
    (SELECT * FROM issues WHERE project_id = $1 AND number > 0 AND $2 NOT IN ('open', 'resolved', 'muted')
      ORDER BY seen_second DESC, last_seen DESC, id DESC LIMIT $3 OFFSET $4)),
shown AS (SELECT array_agg(i.project_id ORDER BY i.last_seen DESC, i.id DESC) AS projects, array_agg(i.id ORDER BY i.last_seen DESC, i.id DESC) AS ids FROM page i)
SELECT p.n, t.*
  FROM project p CROSS JOIN shown s LEFT JOIN LATERAL issue_items(s.projects, s.ids, $5::timestamptz) t ON true ORDER BY t.place
