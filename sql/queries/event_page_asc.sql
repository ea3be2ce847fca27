-- Events of an issue beyond row id $3, at most $4. No row: no such issue; one row of nulls: no events there.
SELECT e.id, e.event_id, e.title, e.timestamp, e.level, e.platform, e.release, e.environment
  FROM (SELECT FROM issues WHERE project_id = $1::int AND id = $2::uuid) i
  LEFT JOIN LATERAL (
    SELECT e.*
      FROM groupings g
     CROSS JOIN LATERAL (
        SELECT e.id, e.event_id, e.title, e.timestamp, e.level, e.platform, e.release, e.environment
          FROM events e WHERE e.project_id = $1 AND e.grouping_id = g.id AND e.id > $3::uuid ORDER BY e.id ASC LIMIT $4::bigint) e
     WHERE g.project_id = $1 AND g.issue_id = $2
     ORDER BY e.id ASC LIMIT $4) e ON true
 ORDER BY e.id ASC
