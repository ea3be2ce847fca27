-- An event of issue $2 by its row id, with its neighbours in the issue. No row: no such issue; a row of nulls: no such event there.
SELECT e.id, e.event_id, e.title, e.timestamp, e.level, e.platform, e.release, e.environment, e.received_at, e.server_name, e.sdk_name,
       e.sdk_version, e.payload, host(e.remote_addr),
       (SELECT d.content FROM payload_dictionaries d WHERE d.project_id = $1 AND d.number = payload_dictionary_number(e.payload)),
       i.id, n.previous_id, n.next_id, n.oldest_id, n.newest_id
  FROM (SELECT id FROM issues WHERE project_id = $1::int AND id = $2::uuid AND EXISTS (SELECT FROM projects WHERE id = $1)) i
  LEFT JOIN LATERAL (
    SELECT e.* FROM events e JOIN groupings g ON g.project_id = e.project_id AND g.id = e.grouping_id
     WHERE e.project_id = $1 AND e.id = $3::uuid AND g.issue_id = $2) e ON true
  LEFT JOIN LATERAL event_neighbours($1, i.id, e.id) n ON e.id IS NOT NULL
