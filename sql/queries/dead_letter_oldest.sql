-- The letter that makes room: the oldest that nobody wants tried again. Columns: as dead_letter_show.
SELECT id, project_id, event_id, status, reason, sqlstate, detail, position, attempts, received_at, first_failed_at, last_failed_at, stored_at,
       kind, record_id, sent_at, host(remote_addr), meta, payload, key_id
  FROM dead_letters WHERE status = 'dead' ORDER BY id LIMIT 1
