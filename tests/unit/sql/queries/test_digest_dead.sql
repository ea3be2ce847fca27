SELECT event_id, reason, sqlstate, attempts, payload, meta FROM dead_letters WHERE project_id = $1::bigint ORDER BY record_id
