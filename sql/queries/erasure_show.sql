-- Request $2 of project $1. Columns: as erasure_add.
SELECT id, field, key, requested_at, done_at, forgotten_at, events, dead_letters, files, feedback, session_users, bytes
  FROM erasures WHERE project_id = $1::int AND id = $2::bigint AND EXISTS (SELECT FROM projects WHERE id = $1)
