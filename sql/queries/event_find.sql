-- An event of project $1 by its row id or, the newest, by the SDK's ($2), with its neighbours in its issue. No row: no such project; a row of nulls: no such event there.
SELECT e.id, e.event_id, e.title, e.timestamp, e.level, e.platform, e.release, e.environment, e.received_at, e.server_name, e.sdk_name,
       e.sdk_version, e.payload, host(e.remote_addr),
       (SELECT d.content FROM payload_dictionaries d WHERE d.project_id = $1 AND d.number = payload_dictionary_number(e.payload)),
       e.issue_id, n.previous_id, n.next_id, n.oldest_id, n.newest_id
  FROM projects p
  LEFT JOIN LATERAL (
    SELECT e.*, g.issue_id
      FROM ((SELECT 1 AS choice, e.* FROM events e WHERE e.project_id = $1 AND e.id = $2::uuid)
            UNION ALL
            (SELECT 2, e.* FROM events e WHERE e.project_id = $1 AND e.event_id = $2)) e
      JOIN groupings g ON g.project_id = e.project_id AND g.id = e.grouping_id
     ORDER BY e.choice, e.id DESC LIMIT 1) e ON true
  LEFT JOIN LATERAL event_neighbours($1, e.issue_id, e.id) n ON e.id IS NOT NULL
 WHERE p.id = $1::int
