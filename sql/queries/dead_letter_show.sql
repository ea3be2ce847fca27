-- One letter.
SELECT id, project_id, event_id, status, reason, sqlstate, detail, position, attempts, received_at, first_failed_at, last_failed_at, stored_at,
       kind, record_id, sent_at, host(remote_addr), meta, payload, key_id, counted_as
  FROM dead_letters WHERE dropped_at IS NULL AND id = $1::bigint
