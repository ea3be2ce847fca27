-- A page of a project's issues and how many there are. $2 filter, $3 limit, $4 offset. No row: no such project; one row with nulls: an empty page.
WITH project AS (SELECT upper(slug) AS slug FROM projects WHERE id = $1::int),
total AS (
    SELECT CASE WHEN $2::text = 'open'
           THEN (SELECT count(*) FROM issues WHERE project_id = $1 AND NOT is_resolved AND NOT is_muted)
           ELSE (SELECT count(*) FROM issues WHERE project_id = $1 AND CASE $2 WHEN 'resolved' THEN is_resolved
                                                                             WHEN 'muted' THEN is_muted AND NOT is_resolved ELSE true END) END AS n),
page AS (
    (SELECT * FROM issues WHERE project_id = $1 AND $2 = 'open' AND NOT is_resolved AND NOT is_muted
      ORDER BY number DESC LIMIT $3::bigint OFFSET $4::bigint)
    UNION ALL
    (SELECT * FROM issues WHERE project_id = $1 AND $2 <> 'open' AND CASE $2 WHEN 'resolved' THEN is_resolved
                                                                             WHEN 'muted' THEN is_muted AND NOT is_resolved ELSE true END
      ORDER BY number DESC LIMIT $3 OFFSET $4))
SELECT t.n, i.id, p.slug || '-' || i.number, i.title, i.value, i.first_seen, i.last_seen, i.event_count, i.level, i.platform, i.is_resolved, i.is_muted
  FROM project p CROSS JOIN total t LEFT JOIN page i ON true ORDER BY i.number DESC
