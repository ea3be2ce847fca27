-- Events of project $1 beyond row id $2, at most $3: those of its issues. No row: no such project; one row of nulls: no events there.
SELECT e.id, e.event_id, e.title, e.timestamp, e.level, e.platform, e.release, e.environment, e.issue_id
  FROM projects p LEFT JOIN LATERAL events_before(p.id, $2::uuid, $3::bigint) e ON true
 WHERE p.id = $1::int ORDER BY e.id DESC
