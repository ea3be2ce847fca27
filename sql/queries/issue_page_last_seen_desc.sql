-- A page of a project's issues and how many there are. $2 filter, $3 limit, $4 offset. No row: no such project; one row with nulls: an empty page.
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
      ORDER BY seen_second DESC, last_seen DESC, id DESC LIMIT $3 OFFSET $4))
SELECT p.n, i.id, p.slug || '-' || i.number, i.title, i.value, i.first_seen, i.last_seen, i.event_count, i.level, i.platform, i.is_resolved, i.is_muted
  FROM project p LEFT JOIN page i ON true ORDER BY i.last_seen DESC, i.id DESC
