-- A letter that lay in a file becomes a row again, to be tried. $1 what dead_letter_put_whole wrote, $2 meta, $3 payload (zstd). It keeps its number
-- if this database once gave it and it is free: a number that is still to be given would fail then. Column: the row's number; no row, the
-- record has one.
WITH letter AS (
    SELECT (l->>'id')::bigint AS id, (l->>'record_id')::uuid AS record_id, (l->>'project_id')::bigint AS project_id,
           (l->>'event_id')::uuid AS event_id, (l->>'received_at')::timestamptz AS received_at, (l->>'sent_at')::timestamptz AS sent_at,
           (l->>'remote_addr')::inet AS remote_addr, l->>'reason' AS reason, coalesce(l->>'sqlstate', '') AS sqlstate,
           coalesce(l->>'detail', '') AS detail, (l->>'position')::bigint AS position, (l->>'attempts')::int AS attempts,
           (l->>'first_failed_at')::timestamptz AS first_failed_at, (l->>'last_failed_at')::timestamptz AS last_failed_at,
           (l->>'key_id')::bigint AS key_id, (l->>'counted_as')::smallint AS counted_as, coalesce((l->>'kind')::smallint, 1) AS kind -- files of earlier releases hold events
      FROM (SELECT $1::text::jsonb AS l) t)
INSERT INTO dead_letters (id, status, record_id, project_id, event_id, received_at, sent_at, remote_addr, reason, sqlstate, detail, position,
                          attempts, first_failed_at, last_failed_at, kind, meta, payload, key_id, counted_as)
OVERRIDING SYSTEM VALUE
SELECT CASE WHEN id <= pg_sequence_last_value('dead_letters_id_seq') AND NOT EXISTS (SELECT FROM dead_letters d WHERE d.id = letter.id)
            THEN id ELSE nextval('dead_letters_id_seq') END,
       'retry', record_id, project_id, event_id, received_at, sent_at, remote_addr, reason, sqlstate, detail, position, attempts,
       first_failed_at, last_failed_at, kind, $2::bytea, $3::bytea, key_id, counted_as
  FROM letter
    ON CONFLICT (record_id) DO NOTHING
RETURNING id
