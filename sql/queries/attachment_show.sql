-- Attachment $2 of project $1. Columns as attachment_page has them behind the first.
SELECT a.id, a.event_id, e.issue_id, e.id, a.received_at, a.name, a.content_type, a.attachment_type, a.size, a.sha256
  FROM attachments a
  LEFT JOIN LATERAL (
    SELECT e.id, g.issue_id FROM events e JOIN groupings g ON g.project_id = e.project_id AND g.id = e.grouping_id
     WHERE e.project_id = a.project_id AND e.event_id = a.event_id ORDER BY e.id DESC LIMIT 1) e ON true
 WHERE a.project_id = $1::int AND a.id = $2::uuid AND EXISTS (SELECT FROM projects WHERE id = $1)
