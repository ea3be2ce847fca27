-- The issue that an event became, found by the SDK's event id: for the first start's sample.
SELECT p.slug, i.number, i.title
  FROM events e
  JOIN groupings g ON g.project_id = e.project_id AND g.id = e.grouping_id
  JOIN issues i ON i.project_id = g.project_id AND i.id = g.issue_id
  JOIN projects p ON p.id = e.project_id
 WHERE e.project_id = $1::int AND e.event_id = $2::uuid
