-- A page of project $1's attachments, the newest first, with the issue and the row of the event that each belongs to, once it is there. $2 limit, $3
-- offset, $4 event (the SDK's id or its row's) or null. First column: how many there are. No row: no such project; nulls behind the first column: an
-- empty page.
WITH wanted AS (SELECT coalesce((SELECT e.event_id FROM events e WHERE e.project_id = $1::int AND e.id = $4::uuid), $4) AS event_id),
found AS NOT MATERIALIZED (SELECT a.* FROM attachments a, wanted w WHERE a.project_id = $1 AND (w.event_id IS NULL OR a.event_id = w.event_id)),
page AS (SELECT * FROM found ORDER BY id DESC LIMIT $2::bigint OFFSET $3::bigint)
SELECT t.n, a.id, a.event_id, e.issue_id, e.id, a.received_at, a.name, a.content_type, a.attachment_type, a.size, a.sha256
  FROM projects p
 CROSS JOIN (SELECT count(*) AS n FROM found) t
  LEFT JOIN page a ON true
  LEFT JOIN LATERAL (
    SELECT e.id, g.issue_id FROM events e JOIN groupings g ON g.project_id = e.project_id AND g.id = e.grouping_id
     WHERE e.project_id = a.project_id AND e.event_id = a.event_id ORDER BY e.id DESC LIMIT 1) e ON true
 WHERE p.id = $1
 ORDER BY a.id DESC
