-- A page of letters, the newest first. $1 limit, $2 offset, $3 project or null, $4 status or null. One row with nulls when the page is empty.
WITH found AS (
    SELECT * FROM dead_letters WHERE dropped_at IS NULL AND ($3::bigint IS NULL OR project_id = $3::bigint) AND ($4::text IS NULL OR status = $4::text)),
page AS (SELECT * FROM found ORDER BY id DESC LIMIT $1::bigint OFFSET $2::bigint)
SELECT t.n, p.id, p.project_id, p.event_id, p.status, p.reason, p.sqlstate, p.detail, p.position, p.attempts, p.received_at,
       p.first_failed_at, p.last_failed_at, p.stored_at, p.kind
  FROM (SELECT count(*) AS n FROM found) t
  LEFT JOIN page p ON true
 ORDER BY p.id DESC
