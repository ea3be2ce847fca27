SELECT count(*) FROM events WHERE project_id = $1::int
