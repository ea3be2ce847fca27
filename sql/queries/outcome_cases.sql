-- The newest refusals and drops of project $1, at most $2. No row: no such project; one row of nulls: none.
SELECT c.at, c.category::bigint, c.outcome::bigint, c.reason, c.quantity, c.bytes, c.client, c.event_id, c.key_id
  FROM projects p
  LEFT JOIN LATERAL (SELECT * FROM outcome_cases c WHERE c.project_id = p.id ORDER BY c.id DESC LIMIT $2::bigint) c ON true
 WHERE p.id = $1::int
 ORDER BY c.at DESC, c.id DESC
