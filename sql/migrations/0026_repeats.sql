-- SDKs send an envelope again when they heard no answer, and it is taken (protocol §4.1): its event was stored once before, its files and what people wrote
-- were stored again, and copies of feedback counted as accepted though none of them was stored. Now a file is stored once for an event, name, type and content, a
-- user report once for an event and what it says, feedback once for its id. What is not stored for that reason counts as invalid (duplicate) and is told as
-- copies of events are (0022). Records that are delivered again after a crash are kept out by their ids (report_ids) before any of this.
--
-- Statements of one project wait for each other (digest_reports), so what is asked for is there for all that come later. It is found by the event's id and a
-- hash of what it is: an empty file may belong to a million events, and an event may be sent a million files. The indexes stand for those by the event alone. Look-ups
-- ask for ranges of one value and their order, for the reason that 0002 gives; OFFSET 0 keeps EXISTS from dropping the order.
CREATE FUNCTION attachment_same(name text, type text, sha256 bytea) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT hashtextextended(encode(sha256, 'hex') || length(name)::text || ',' || name || type, 0)
$$;
CREATE FUNCTION feedback_same(name text, email text, message text) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT hashtextextended(length(name)::text || ',' || length(email)::text || ',' || name || email || message, 0)
$$;
CREATE INDEX attachments_same ON attachments (project_id, event_id, attachment_same(name, attachment_type, sha256));
CREATE INDEX feedback_same ON feedback (project_id, event_id, feedback_same(name, email, message));
DROP INDEX attachments_event;
DROP INDEX feedback_event;

-- What 0022 tells of copies, for these, too: one line for an event's copies, one for those of its files, one for those of feedback; all of them within
-- the same bounds.
CREATE OR REPLACE FUNCTION duplicate_cases(
    x_project int[], x_key bigint[], x_event_id uuid[], x_received timestamptz[], x_category smallint[], x_bytes bigint[], x_sdk_name text[],
    x_sdk_version text[]
) RETURNS void LANGUAGE plpgsql SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    COPIES_OF_BATCH CONSTANT int := 20;
    COPIES_KEPT     CONSTANT int := 50;
    CASES_KEPT      CONSTANT int := 200; -- as in digest_store_cases (0007)
BEGIN
    WITH copies AS (
        SELECT x.project_id, x.event_id, x.kind, count(*) AS quantity, (array_agg(x.n ORDER BY x.received_at DESC, x.n DESC))[1] AS newest,
               row_number() OVER (PARTITION BY x.project_id ORDER BY max(x.received_at) DESC, x.event_id, x.kind) AS place
          FROM (SELECT u.project_id, u.event_id, u.received_at, CASE u.category WHEN 3 THEN 1 ELSE u.category END AS kind, u.n
                  FROM unnest(x_project, x_event_id, x_received, x_category) WITH ORDINALITY u(project_id, event_id, received_at, category, n)) x
         GROUP BY x.project_id, x.event_id, x.kind),
    told AS MATERIALIZED (SELECT * FROM copies WHERE place <= COPIES_OF_BATCH),
    before AS MATERIALIZED (
        SELECT c.project_id, c.id, c.event_id, CASE c.category WHEN 3 THEN 1 ELSE c.category END AS kind, c.quantity
          FROM (SELECT project_id, array_agg(event_id) AS events FROM told GROUP BY project_id) t
          JOIN outcome_cases c ON c.project_id = t.project_id AND c.event_id = ANY (t.events)
         WHERE c.reason = 'duplicate' AND c.category IN (1, 3, 14, 22)
           AND EXISTS (SELECT FROM told o WHERE o.project_id = c.project_id AND o.event_id = c.event_id
                          AND o.kind = CASE c.category WHEN 3 THEN 1 ELSE c.category END)
           FOR UPDATE OF c SKIP LOCKED),
    taken_up AS (DELETE FROM outcome_cases c USING before b WHERE c.project_id = b.project_id AND c.id = b.id)
    INSERT INTO outcome_cases (project_id, at, category, outcome, reason, key_id, quantity, bytes, client, event_id)
    SELECT t.project_id, x_received[t.newest], x_category[t.newest], 3, 'duplicate', x_key[t.newest],
           t.quantity + coalesce((SELECT sum(b.quantity) FROM before b
                                   WHERE b.project_id = t.project_id AND b.event_id = t.event_id AND b.kind = t.kind), 0),
           x_bytes[t.newest], left(concat_ws('/', nullif(x_sdk_name[t.newest], ''), nullif(x_sdk_version[t.newest], '')), 64), t.event_id
      FROM told t ORDER BY t.project_id, t.place DESC;

    WITH lines AS (
        SELECT c.project_id, c.id, c.reason = 'duplicate' AND c.category IN (1, 3, 14, 22) AS is_copy
          FROM (SELECT DISTINCT u.project_id FROM unnest(x_project) u(project_id)) p JOIN outcome_cases c USING (project_id)),
    kinds AS (
        SELECT l.project_id, l.id, l.is_copy AND row_number() OVER (PARTITION BY l.project_id, l.is_copy ORDER BY l.id DESC) > COPIES_KEPT AS is_beyond
          FROM lines l),
    places AS (
        SELECT k.*, count(*) FILTER (WHERE NOT k.is_beyond) OVER (PARTITION BY k.project_id ORDER BY k.id DESC) AS place FROM kinds k),
    old AS MATERIALIZED (
        SELECT c.project_id, c.id FROM places p JOIN outcome_cases c ON c.project_id = p.project_id AND c.id = p.id
         WHERE p.is_beyond OR p.place > CASES_KEPT
           FOR UPDATE OF c SKIP LOCKED)
    DELETE FROM outcome_cases c USING old o WHERE c.project_id = o.project_id AND c.id = o.id;
END $$;

-- The report of an item that is there already: what it had accepted is a duplicate, of category p_category when it is told. Reports say who sent them as
-- "client" and how long they came as "bytes" (src/event/account.h); those of the release before do not.
CREATE FUNCTION report_as_copy(p_report jsonb, p_category int, p_bytes bigint, p_event_id uuid) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT p_report || jsonb_build_object(
        'outcomes', (SELECT jsonb_agg(e.v || '{"o": 3, "r": "duplicate"}' ORDER BY e.n) FROM jsonb_array_elements(p_report->'outcomes') WITH ORDINALITY e(v, n)),
        'copy', jsonb_build_object('c', p_category, 'bytes', coalesce(p_bytes, 0), 'name', p_report->>'client', 'event_id', p_event_id))
$$;

DROP FUNCTION digest_store_attachments(int[], uuid[], uuid[], timestamptz[], jsonb[]);
CREATE FUNCTION digest_store_attachments(v_project int[], x_id uuid[], x_event_id uuid[], x_received timestamptz[], v_report jsonb[]) RETURNS jsonb[]
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $$
DECLARE
    x record;
BEGIN
    IF NOT EXISTS (SELECT FROM unnest(v_report) r(v) WHERE r.v ? 'attachment') THEN
        RETURN v_report;
    END IF;
    INSERT INTO attachments (project_id, id, event_id, received_at, sha256, size, name, content_type, attachment_type)
    SELECT f.project_id, f.id, f.event_id, f.received_at, f.sha256, f.size, f.name, f.content_type, f.attachment_type
      FROM (SELECT r.*, row_number() OVER (PARTITION BY r.project_id, r.event_id, r.name, r.attachment_type, r.sha256 ORDER BY r.id) AS turn,
                   attachment_same(r.name, r.attachment_type, r.sha256) AS same
              FROM (SELECT i.project_id, i.id, i.event_id, i.received_at, decode(i.report #>> '{attachment,sha256}', 'hex') AS sha256,
                           (i.report #>> '{attachment,size}')::bigint AS size, i.report #>> '{attachment,name}' AS name,
                           i.report #>> '{attachment,content_type}' AS content_type, i.report #>> '{attachment,attachment_type}' AS attachment_type
                      FROM unnest(v_report, v_project, x_id, x_event_id, x_received) i(report, project_id, id, event_id, received_at)
                     WHERE i.project_id IS NOT NULL AND i.report ? 'attachment') r) f
     WHERE f.turn = 1
       AND NOT EXISTS (SELECT FROM (SELECT o.sha256, o.name, o.attachment_type FROM attachments o
                                     WHERE o.project_id = f.project_id AND o.event_id BETWEEN f.event_id AND f.event_id -- in this order, as in 0002
                                       AND attachment_same(o.name, o.attachment_type, o.sha256) BETWEEN f.same AND f.same
                                     ORDER BY o.event_id, attachment_same(o.name, o.attachment_type, o.sha256) OFFSET 0) o
                        WHERE o.sha256 = f.sha256 AND o.name = f.name AND o.attachment_type = f.attachment_type)
     ORDER BY f.project_id, f.id
        ON CONFLICT DO NOTHING;
    FOR x IN SELECT i.n, i.report, i.event_id FROM unnest(v_report, v_project, x_id, x_event_id) WITH ORDINALITY i(report, project_id, id, event_id, n)
              WHERE i.project_id IS NOT NULL AND i.report ? 'attachment'
                AND NOT EXISTS (SELECT FROM (SELECT FROM attachments a WHERE a.project_id = i.project_id AND a.id BETWEEN i.id AND i.id ORDER BY a.id OFFSET 0) o) LOOP
        v_report[x.n] := report_as_copy(x.report, 22, (x.report #>> '{attachment,size}')::bigint, x.event_id);
    END LOOP;
    RETURN v_report;
END $$;

-- A user report has no id of its own, and no data (0020).
DROP FUNCTION digest_store_feedback(int[], uuid[], timestamptz[], jsonb[]);
CREATE FUNCTION digest_store_feedback(v_project int[], x_id uuid[], x_received timestamptz[], v_report jsonb[]) RETURNS jsonb[]
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $$
DECLARE
    x record;
BEGIN
    IF NOT EXISTS (SELECT FROM unnest(v_report) r(v) WHERE r.v ? 'feedback') THEN
        RETURN v_report;
    END IF;
    INSERT INTO feedback (project_id, id, feedback_id, event_id, received_at, name, email, message, url, source, release, environment, data)
    SELECT f.project_id, f.id, (f.v->>'id')::uuid, f.event_id, f.received_at, f.v->>'name', f.v->>'email', f.v->>'message',
           f.v->>'url', f.v->>'source', f.v->>'release', f.v->>'environment', f.v->'data'
      FROM (SELECT r.*, row_number() OVER (PARTITION BY r.is_report, r.project_id, r.event_id, r.v->>'name', r.v->>'email', r.v->>'message'
                                           ORDER BY r.id) AS turn,
                   feedback_same(r.v->>'name', r.v->>'email', r.v->>'message') AS same
              FROM (SELECT i.project_id, i.id, i.received_at, i.report->'feedback' AS v, (i.report #>> '{feedback,event_id}')::uuid AS event_id,
                           i.report #>> '{feedback,source}' = 'user_report' AND NOT i.report->'feedback' ? 'data'
                           AND i.report #>> '{feedback,event_id}' IS NOT NULL AS is_report
                      FROM unnest(v_report, v_project, x_id, x_received) i(report, project_id, id, received_at)
                     WHERE i.project_id IS NOT NULL AND i.report ? 'feedback') r) f
     WHERE NOT f.is_report
        OR (f.turn = 1 AND NOT EXISTS (SELECT FROM (SELECT o.* FROM feedback o
                                                     WHERE o.project_id = f.project_id AND o.event_id BETWEEN f.event_id AND f.event_id
                                                       AND feedback_same(o.name, o.email, o.message) BETWEEN f.same AND f.same
                                                     ORDER BY o.event_id, feedback_same(o.name, o.email, o.message) OFFSET 0) o
                                        WHERE o.source = 'user_report' AND o.data IS NULL AND o.name = f.v->>'name' AND o.email = f.v->>'email'
                                          AND o.message = f.v->>'message'))
     ORDER BY f.project_id, f.id
        ON CONFLICT DO NOTHING;
    FOR x IN SELECT i.n, i.report, i.report->'feedback' AS v FROM unnest(v_report, v_project, x_id) WITH ORDINALITY i(report, project_id, id, n)
              WHERE i.project_id IS NOT NULL AND i.report ? 'feedback'
                AND NOT EXISTS (SELECT FROM (SELECT FROM feedback f WHERE f.project_id = i.project_id AND f.id BETWEEN i.id AND i.id ORDER BY f.id OFFSET 0) o) LOOP
        v_report[x.n] := report_as_copy(x.report, 14, (x.report->>'bytes')::bigint, coalesce(x.v->>'id', x.v->>'event_id')::uuid);
    END LOOP;
    RETURN v_report;
END $$;

-- As in 0022, but that a copy may say whose it is.
CREATE OR REPLACE FUNCTION digest_store_copies(v_project int[], x_key bigint[], x_event_id uuid[], x_received timestamptz[], v_report jsonb[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_category smallint[];
    v_bytes    bigint[];
    v_name     text[];
    v_version  text[];
BEGIN
    SELECT array_agg(x.project_id), array_agg(x.key_id), array_agg(CASE WHEN c.v ? 'event_id' THEN (c.v->>'event_id')::uuid ELSE x.event_id END),
           array_agg(x.received_at), array_agg((c.v->>'c')::smallint), array_agg((c.v->>'bytes')::bigint), array_agg(c.v->>'name'), array_agg(c.v->>'version')
      INTO v_project, x_key, x_event_id, x_received, v_category, v_bytes, v_name, v_version
      FROM unnest(v_project, x_key, x_event_id, x_received, v_report) x(project_id, key_id, event_id, received_at, report)
     CROSS JOIN LATERAL (SELECT x.report->'copy' AS v) c
     WHERE x.project_id IS NOT NULL AND c.v IS NOT NULL;
    IF v_project IS NOT NULL THEN
        PERFORM duplicate_cases(v_project, x_key, x_event_id, x_received, v_category, v_bytes, v_name, v_version);
    END IF;
END $$;

-- ---- what an item leaves out

-- Sessions and client reports are read by the digest, and what of them does not count was counted only. It is told, too: {"left": [case, …]} of their reports.
-- One line for a key, reason and SDK, with the number of what was left out and the newest one's time and size; more take it up into a new one at the end. An
-- SDK that sends all of its sessions without a release hides nothing else. At most LEFT_OF_BATCH lines for a statement and project, as many as the door tells.
-- What somebody else has in hand is left alone, as in duplicate_cases.
CREATE FUNCTION digest_store_left(v_report jsonb[]) RETURNS void LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $$
DECLARE
    LEFT_OF_BATCH CONSTANT int := 20;
    CASES_KEPT    CONSTANT int := 200;
    v_projects    int[];
BEGIN
    IF NOT EXISTS (SELECT FROM unnest(v_report) r(v) WHERE r.v ? 'left') THEN
        RETURN;
    END IF;
    WITH read AS (
        SELECT p.id AS project_id, (c.v->>'k')::bigint AS key_id, (c.v->>'c')::smallint AS category, (c.v->>'o')::smallint AS outcome, c.v->>'r' AS reason,
               (c.v->>'n')::bigint AS n, (c.v->>'at')::timestamptz AS at, (c.v->>'bytes')::bigint AS bytes, coalesce(c.v->>'client', '') AS client
          FROM unnest(v_report) x(report) CROSS JOIN LATERAL jsonb_array_elements(x.report->'left') c(v)
          JOIN projects p ON p.id = (c.v->>'p')::bigint),
    fresh AS MATERIALIZED (
        SELECT * FROM (SELECT r.project_id, r.key_id, r.category, r.outcome, r.reason, r.client, sum(r.n) AS quantity, max(r.at) AS at,
                              (array_agg(r.bytes ORDER BY r.at DESC))[1] AS bytes,
                              row_number() OVER (PARTITION BY r.project_id ORDER BY max(r.at) DESC, r.key_id, r.reason, r.client) AS place
                         FROM read r GROUP BY r.project_id, r.key_id, r.category, r.outcome, r.reason, r.client) f
         WHERE f.place <= LEFT_OF_BATCH),
    before AS MATERIALIZED (
        SELECT c.* FROM outcome_cases c
         WHERE c.project_id IN (SELECT f.project_id FROM fresh f) AND c.event_id IS NULL
           AND EXISTS (SELECT FROM fresh f WHERE f.project_id = c.project_id AND f.key_id = c.key_id AND f.category = c.category AND f.outcome = c.outcome
                          AND f.reason = c.reason AND f.client = c.client)
           FOR UPDATE OF c SKIP LOCKED),
    taken_up AS (DELETE FROM outcome_cases c USING before b WHERE c.project_id = b.project_id AND c.id = b.id),
    told AS (
        INSERT INTO outcome_cases (project_id, at, category, outcome, reason, key_id, quantity, bytes, client)
        SELECT f.project_id, f.at, f.category, f.outcome, f.reason, f.key_id,
               f.quantity + coalesce((SELECT sum(b.quantity) FROM before b
                                       WHERE b.project_id = f.project_id AND b.key_id = f.key_id AND b.category = f.category AND b.outcome = f.outcome
                                         AND b.reason = f.reason AND b.client = f.client), 0),
               f.bytes, f.client
          FROM fresh f ORDER BY f.project_id, f.place DESC
        RETURNING project_id)
    SELECT array_agg(DISTINCT project_id) INTO v_projects FROM told;
    DELETE FROM outcome_cases c
     USING (SELECT o.project_id, o.id FROM outcome_cases o
             WHERE (o.project_id, o.id) IN (SELECT t.project_id, t.id
                                              FROM unnest(v_projects) p(id)
                                             CROSS JOIN LATERAL (SELECT n.project_id, n.id FROM outcome_cases n WHERE n.project_id = p.id
                                                                  ORDER BY n.id DESC OFFSET CASES_KEPT) t)
               FOR UPDATE SKIP LOCKED) old
     WHERE c.project_id = old.project_id AND c.id = old.id;
END $$;

CREATE OR REPLACE FUNCTION digest_reports_store(
    x_kind smallint[], x_project int[], x_key bigint[], x_id uuid[], x_event_id uuid[], x_received timestamptz[], x_addr inet[], x_report text[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_report  jsonb[];
    v_project int[];
BEGIN
    SELECT array_agg(x.report::jsonb ORDER BY x.n), array_agg(p.id ORDER BY x.n)
      INTO v_report, v_project
      FROM unnest(x_report, x_project) WITH ORDINALITY x(report, project_id, n) LEFT JOIN projects p ON p.id = x.project_id;
    PERFORM digest_store_sessions(v_project, v_report);
    v_report := digest_store_feedback(v_project, x_id, x_received, v_report); -- what it and the next two put into reports is for cases, copies and outcomes
    v_report := digest_store_attachments(v_project, x_id, x_event_id, x_received, v_report);
    v_report := digest_store_check_ins(v_project, x_id, x_key, x_received, v_report);
    PERFORM digest_store_cases(v_report);
    PERFORM digest_store_left(v_report);
    PERFORM digest_store_copies(v_project, x_key, x_event_id, x_received, v_report); -- behind what may wait for lines
    PERFORM digest_store_outcomes(v_project, x_key, v_report); -- last: its rows are everybody's
END $$;

-- ---- whose it was

-- As in 0012, and with the SDK that the check-in's envelope names, as src/event/check_in.c notes it; one that came by its URL has none.
CREATE OR REPLACE FUNCTION check_in_account(p_project int, p_key bigint, p_at timestamptz, c jsonb, p_reason text) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_outcome int := CASE p_reason WHEN '' THEN 0 WHEN 'monitor_rate' THEN 2 ELSE 3 END;
    v_line    jsonb := jsonb_build_object('p', p_project, 'k', p_key, 'c', 10, 'o', v_outcome, 'r', p_reason, 'n', 1);
    v_account jsonb := jsonb_build_object('outcomes', jsonb_build_array(v_line || jsonb_build_object('h', floor(extract(epoch FROM p_at)))));
BEGIN
    IF v_outcome > 0 THEN
        v_account := v_account || jsonb_build_object('cases', jsonb_build_array(
            v_line || jsonb_build_object('at', p_at, 'bytes', octet_length((c - 'client')::text), 'client', coalesce(c->>'client', ''))));
    END IF;
    RETURN v_account;
END $$;

-- As in 0018, with the SDK.
CREATE FUNCTION dead_letters_account(
    x_project bigint[], x_event uuid[], x_received timestamptz[], x_key bigint[], x_category smallint[], x_bytes bigint[], x_client text[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_report jsonb;
BEGIN
    SELECT jsonb_build_object(
               'cases', jsonb_agg(jsonb_build_object('p', p.id, 'at', x.received_at, 'c', x.category, 'o', 3, 'r', 'dead_letter', 'k', coalesce(x.key_id, 0),
                                                     'n', 1, 'bytes', x.bytes, 'client', left(coalesce(x.client, ''), 64),
                                                     'event_id', nullif(x.event_id, '00000000-0000-0000-0000-000000000000'))),
               'outcomes', jsonb_agg(jsonb_build_object('p', p.id, 'h', floor(extract(epoch FROM x.received_at))::bigint, 'c', x.category, 'o', 3,
                                                        'r', 'dead_letter', 'k', coalesce(x.key_id, 0), 'n', 1)))
      INTO v_report
      FROM unnest(x_project, x_event, x_received, x_key, x_category, x_bytes, x_client) x(project_id, event_id, received_at, key_id, category, bytes, client)
      JOIN projects p ON p.id = x.project_id
     WHERE x.category IS NOT NULL
    HAVING count(*) > 0;
    IF v_report IS NULL THEN
        RETURN;
    END IF;
    PERFORM digest_store_cases(ARRAY[v_report]);
    PERFORM digest_store_outcomes(ARRAY[NULL]::int[], ARRAY[0]::bigint[], ARRAY[v_report]); -- last: its rows are everybody's
EXCEPTION WHEN OTHERS THEN
    IF monitor_fault_is_common(SQLSTATE) THEN
        RAISE;
    END IF;
    RAISE WARNING 'dead letters are kept and could not be accounted for: %', SQLERRM; -- perhaps it is accounts that are refused
END $$;

-- For the release before, which does not say it.
CREATE OR REPLACE FUNCTION dead_letters_account(
    x_project bigint[], x_event uuid[], x_received timestamptz[], x_key bigint[], x_category smallint[], x_bytes bigint[]
) RETURNS void LANGUAGE sql AS $$
    SELECT dead_letters_account(x_project, x_event, x_received, x_key, x_category, x_bytes, NULL::text[])
$$;
