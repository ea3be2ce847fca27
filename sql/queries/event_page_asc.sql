-- Events of an issue beyond row id $3, at most $4. No row: no such issue; one row of nulls: no events there.
-- The grouping is compared by order, not by equality, and ordered by: only the index on (project, grouping, id) can serve that. With an equality
-- the planner may walk the primary key and filter, which is slow for a rare issue among many events. id > $3 alone prunes partitions.
SELECT e.id, e.event_id, e.title, e.timestamp, e.level, e.platform, e.release, e.environment
  FROM (SELECT FROM issues WHERE project_id = $1::int AND id = $2::uuid AND EXISTS (SELECT FROM projects WHERE id = $1)) i
  LEFT JOIN LATERAL (
    SELECT e.*
      FROM groupings g
     CROSS JOIN LATERAL (
        SELECT e.id, e.event_id, e.title, e.timestamp, e.level, e.platform, e.release, e.environment
          FROM events e
         WHERE e.project_id = $1 AND (e.grouping_id, e.id) > (g.id, $3::uuid) AND e.grouping_id <= g.id AND e.id > $3
         ORDER BY e.grouping_id ASC, e.id ASC LIMIT $4::bigint) e
     WHERE g.project_id = $1 AND g.issue_id = $2
     ORDER BY e.id ASC LIMIT $4) e ON true
 ORDER BY e.id ASC
