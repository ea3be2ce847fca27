-- The letter that makes room: the oldest that nobody wants tried again. None of kind 7: those name files of attachments, which only rows can hold
-- (attachment_unnamed). Columns: as dead_letter_show.
SELECT id, project_id, event_id, status, reason, sqlstate, detail, position, attempts, received_at, first_failed_at, last_failed_at, stored_at,
       kind, record_id, sent_at, host(remote_addr), meta, payload, key_id, counted_as
  FROM dead_letters WHERE status = 'dead' AND kind <> 7 ORDER BY id LIMIT 1
