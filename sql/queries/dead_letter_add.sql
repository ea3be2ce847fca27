-- Records which could not be stored for a lasting reason, with the reason. Seen again (a redelivery after a crash): counted, not repeated. $15: data
-- category of an event; $16: bytes of the payload; $17: the SDK.
WITH dead AS (
    SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::timestamptz[], $5::timestamptz[], $6::smallint[], $7::inet[], $8::text[], $9::text[],
                         $10::text[], $11::bigint[], $12::bytea[], $13::bytea[], $14::bigint[], $15::smallint[], $16::bigint[], $17::text[])
         AS d(record_id, project_id, event_id, received_at, sent_at, kind, remote_addr, reason, sqlstate, detail, position, meta, payload, key_id, category, bytes, client)),
kept AS (
    INSERT INTO dead_letters AS d (record_id, project_id, event_id, received_at, sent_at, kind, remote_addr, reason, sqlstate, detail, position,
                                   meta, payload, key_id, counted_as)
    SELECT record_id, project_id, event_id, received_at, sent_at, kind, remote_addr, reason, sqlstate, detail, position, meta, payload, key_id,
           dead_letter_category(kind, category) FROM dead
        ON CONFLICT (record_id) DO UPDATE
       SET attempts = d.attempts + 1, last_failed_at = now(), reason = excluded.reason, sqlstate = excluded.sqlstate, detail = excluded.detail,
           position = excluded.position
     WHERE d.status <> 'stored'
    RETURNING d.record_id, d.xmax = 0 AS is_new)
SELECT dead_letters_account(array_agg(d.project_id), array_agg(d.event_id), array_agg(d.received_at), array_agg(d.key_id),
                            array_agg(dead_letter_category(d.kind, d.category)), array_agg(d.bytes), array_agg(d.client))
  FROM kept k JOIN dead d ON d.record_id = k.record_id
 WHERE k.is_new
