-- Letters below number $1, the newest first, at most $2, of project $3 or of all. Columns: the head of a letter.
SELECT id, project_id, event_id, status, reason, sqlstate, detail, position, attempts, received_at, first_failed_at, last_failed_at, stored_at,
       kind
  FROM dead_letters
 WHERE dropped_at IS NULL AND id < $1::bigint AND ($3::bigint IS NULL OR project_id = $3::bigint)
 ORDER BY id DESC LIMIT $2::bigint
