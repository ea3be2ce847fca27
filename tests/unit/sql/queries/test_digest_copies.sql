SELECT count(*) FROM events WHERE project_id = $1::int AND event_id = $2::uuid
