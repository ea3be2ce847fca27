-- Records which could not be stored for a lasting reason, with the reason. Seen again (a redelivery after a crash): counted, not repeated.
INSERT INTO dead_letters AS d (record_id, project_id, event_id, received_at, reason, sqlstate, meta, payload)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::timestamptz[], $5::text[], $6::text[], $7::bytea[], $8::bytea[])
    ON CONFLICT (record_id) DO UPDATE SET attempts = d.attempts + 1, last_failed_at = now(), reason = excluded.reason
