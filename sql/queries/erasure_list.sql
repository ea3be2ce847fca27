-- A page of project $1's requests, the newest first. $2 limit, $3 offset. First column: how many there are. No row: no such project; nulls behind the
-- first column: an empty page.
WITH found AS (SELECT * FROM erasures WHERE project_id = $1::int),
page AS (SELECT * FROM found ORDER BY id DESC LIMIT $2::bigint OFFSET $3::bigint)
SELECT t.n, e.id, e.field, e.key, e.requested_at, e.done_at, e.forgotten_at, e.events, e.dead_letters, e.files, e.feedback, e.session_users, e.bytes
  FROM projects p
 CROSS JOIN (SELECT count(*) AS n FROM found) t
  LEFT JOIN page e ON true
 WHERE p.id = $1
 ORDER BY e.id DESC
