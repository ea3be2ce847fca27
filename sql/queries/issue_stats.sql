-- Events of issue $2 of project $1 since $3, by time ($4: hour or day). No row: no such issue; one row of nulls: none.
SELECT h.at, h.events
  FROM (SELECT FROM issues i JOIN projects p ON p.id = i.project_id WHERE i.project_id = $1::int AND i.id = $2::uuid) i
  LEFT JOIN (SELECT date_trunc($4::text, hour, 'UTC') AS at, sum(events)::bigint AS events
               FROM issue_hours WHERE project_id = $1 AND issue_id = $2 AND hour >= $3::timestamptz GROUP BY 1) h ON true
 ORDER BY h.at
