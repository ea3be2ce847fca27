-- Records which could not be stored for a lasting reason, with the reason. Seen again (a redelivery after a crash): counted, not repeated.
INSERT INTO dead_letters AS d (record_id, project_id, event_id, received_at, sent_at, kind, remote_addr, reason, sqlstate, detail, position,
                               meta, payload, key_id)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::timestamptz[], $5::timestamptz[], $6::smallint[], $7::inet[], $8::text[],
                     $9::text[], $10::text[], $11::bigint[], $12::bytea[], $13::bytea[], $14::bigint[])
    ON CONFLICT (record_id) DO UPDATE
   SET attempts = d.attempts + 1, last_failed_at = now(), reason = excluded.reason, sqlstate = excluded.sqlstate, detail = excluded.detail,
       position = excluded.position
 WHERE d.status <> 'stored'
