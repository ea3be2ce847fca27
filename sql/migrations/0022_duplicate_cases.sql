-- A copy of an event that is stored already is counted as invalid (duplicate), and from here on it is told, too: who asks why the second event with the same id
-- is not there finds its line in /delivery. A copy was acknowledged, so it is told in the transaction that counts it, under the same condition: what is
-- delivered again after a crash is told as little as it is counted, and no crash loses a line.
--
-- One event is one line, with the number of its copies and the newest one's time, size and SDK. More copies take the old line up into a new one at the end:
-- a million of them are one row. Different events have at most COPIES_OF_BATCH (20, as many as the door tells of a project at a time) new lines for a
-- statement and project, and COPIES_KEPT (50) of the project's 200: an SDK that sends all of its cache again hides no refusal that is among the other 150.
--
-- Rivals: A line for each copy lets one client push out everything else. A line for each event and hour with an upsert wants a unique index, which every refusal
-- would pay for, and its line keeps the place where it began: it would leave the list while its event is still being sent. Noting copies in the door's
-- ledger, after the commit, costs the database nothing and loses them with a crash, though their senders were told 200. A last statement of the batch that
-- counts and tells them costs every batch with a copy a second transaction.
--
-- Lines belong between the counters and outcomes in the order of locks, and are never waited for: what somebody else has in hand is left alone (SKIP LOCKED). Then
-- an event has two lines until its next copy, and a list is longer by a few until its next line.

-- One element for each copy that counts.
CREATE FUNCTION duplicate_cases(
    x_project int[], x_key bigint[], x_event_id uuid[], x_received timestamptz[], x_category smallint[], x_bytes bigint[], x_sdk_name text[],
    x_sdk_version text[]
) RETURNS void LANGUAGE plpgsql SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    COPIES_OF_BATCH CONSTANT int := 20;
    COPIES_KEPT     CONSTANT int := 50;
    CASES_KEPT      CONSTANT int := 200; -- as in digest_store_cases (0007)
BEGIN
    WITH copies AS (
        SELECT x.project_id, x.event_id, count(*) AS quantity, (array_agg(x.n ORDER BY x.received_at DESC, x.n DESC))[1] AS newest,
               row_number() OVER (PARTITION BY x.project_id ORDER BY max(x.received_at) DESC, x.event_id) AS place
          FROM unnest(x_project, x_event_id, x_received) WITH ORDINALITY x(project_id, event_id, received_at, n)
         GROUP BY x.project_id, x.event_id),
    told AS MATERIALIZED (SELECT * FROM copies WHERE place <= COPIES_OF_BATCH),
    before AS MATERIALIZED (
        SELECT c.project_id, c.id, c.event_id, c.quantity
          FROM (SELECT project_id, array_agg(event_id) AS events FROM told GROUP BY project_id) t
          JOIN outcome_cases c ON c.project_id = t.project_id AND c.event_id = ANY (t.events)
         WHERE c.reason = 'duplicate' AND c.category IN (1, 3)
           FOR UPDATE OF c SKIP LOCKED),
    taken_up AS (DELETE FROM outcome_cases c USING before b WHERE c.project_id = b.project_id AND c.id = b.id)
    INSERT INTO outcome_cases (project_id, at, category, outcome, reason, key_id, quantity, bytes, client, event_id)
    SELECT t.project_id, x_received[t.newest], x_category[t.newest], 3, 'duplicate', x_key[t.newest],
           t.quantity + coalesce((SELECT sum(b.quantity) FROM before b WHERE b.project_id = t.project_id AND b.event_id = t.event_id), 0),
           x_bytes[t.newest], left(concat_ws('/', nullif(x_sdk_name[t.newest], ''), nullif(x_sdk_version[t.newest], '')), 64), t.event_id
      FROM told t ORDER BY t.project_id, t.place DESC;

    WITH lines AS (
        SELECT c.project_id, c.id, c.reason = 'duplicate' AND c.category IN (1, 3) AS is_copy
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

-- ---- copies that the statement of a batch's events counts itself

-- As in 0008, and it tells the copies that it counts. r_bytes: the payloads' sizes as they came.
CREATE FUNCTION digest_events(
    p_node uuid, p_segment bigint, p_from bigint, p_to bigint, p_version smallint,
    g_project int[], g_hash bytea[], g_type text[], g_value text[], g_title text[], g_transaction text[],
    g_filename text[], g_module text[], g_function text[], g_level text[], g_platform text[],
    r_group int[], r_id uuid[], r_event_id uuid[], r_received timestamptz[], r_timestamp timestamptz[], r_title text[],
    r_level text[], r_platform text[], r_release text[], r_environment text[], r_server text[], r_sdk_name text[], r_sdk_version text[],
    r_addr inet[], r_payload bytea[], r_key bigint[], r_category smallint[], r_bytes bigint[]
) RETURNS smallint[] LANGUAGE plpgsql SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_outcome smallint[];
    v_counts  boolean;
BEGIN
    -- The range is stored and the answer was lost: its rows need not be there any more to say so, retention may have thinned the day out meanwhile.
    IF p_to > p_from AND EXISTS (SELECT FROM digest_batches b
                                  WHERE b.node = p_node AND b.segment = p_segment AND b.from_offset = p_from AND b.to_offset = p_to) THEN
        RETURN array_fill(3::smallint, ARRAY[cardinality(r_id)]);
    END IF;
    v_outcome := digest_batch(
        p_node, p_segment, p_from, p_to, p_version, g_project, g_hash, g_type, g_value, g_title, g_transaction, g_filename, g_module,
        g_function, g_level, g_platform, r_group, r_id, r_event_id, r_received, r_timestamp, r_title, r_level, r_platform, r_release,
        r_environment, r_server, r_sdk_name, r_sdk_version, r_addr, r_payload);
    v_counts := p_to > p_from AND (SELECT count(*) FROM digest_batches b
                                    WHERE b.node = p_node AND b.segment = p_segment AND b.from_offset = p_from AND b.to_offset > p_from) = 1;
    IF 0 = ANY (v_outcome) THEN
        SELECT array_agg(CASE WHEN r.outcome = 0 AND e.found THEN 3 ELSE r.outcome END::smallint ORDER BY r.n)
          INTO v_outcome
          FROM unnest(r_group, r_id, v_outcome) WITH ORDINALITY r(grp, id, outcome, n)
          LEFT JOIN LATERAL (SELECT true AS found FROM events e
                              WHERE r.outcome = 0 AND e.project_id = g_project[r.grp] AND e.id BETWEEN r.id AND r.id ORDER BY e.id LIMIT 1) e ON true;
        IF v_counts AND 0 = ANY (v_outcome) THEN
            PERFORM duplicate_cases(array_agg(g_project[r.grp]), array_agg(r.key), array_agg(r.event_id), array_agg(r.received_at),
                                    array_agg(r.category), array_agg(r.bytes), array_agg(r.sdk_name), array_agg(r.sdk_version))
               FROM unnest(r_group, r_key, r_event_id, r_received, r_category, r_bytes, r_sdk_name, r_sdk_version, v_outcome)
                    r(grp, key, event_id, received_at, category, bytes, sdk_name, sdk_version, outcome)
              WHERE r.outcome = 0;
        END IF;
    END IF;
    INSERT INTO outcomes AS o (project_id, hour, category, outcome, reason, key_id, quantity)
    SELECT g_project[r.grp], date_trunc('hour', r_received[1], 'UTC'), r.category, CASE r.outcome WHEN 1 THEN 0 ELSE 3 END,
           CASE r.outcome WHEN 1 THEN '' ELSE 'duplicate' END, r.key, count(*)
      FROM unnest(r_group, r_id, r_key, r_category, v_outcome) r(grp, id, key, category, outcome)
     WHERE r.outcome = 1 OR (r.outcome = 0 AND v_counts)
     GROUP BY 1, 3, 4, 5, 6 ORDER BY 1, 3, 4, 5, 6
        ON CONFLICT (project_id, hour, category, outcome, reason, key_id) DO UPDATE SET quantity = o.quantity + excluded.quantity;
    RETURN v_outcome;
END $$;

-- For the release before, which knows no sizes.
CREATE OR REPLACE FUNCTION digest_events(
    p_node uuid, p_segment bigint, p_from bigint, p_to bigint, p_version smallint,
    g_project int[], g_hash bytea[], g_type text[], g_value text[], g_title text[], g_transaction text[],
    g_filename text[], g_module text[], g_function text[], g_level text[], g_platform text[],
    r_group int[], r_id uuid[], r_event_id uuid[], r_received timestamptz[], r_timestamp timestamptz[], r_title text[],
    r_level text[], r_platform text[], r_release text[], r_environment text[], r_server text[], r_sdk_name text[], r_sdk_version text[],
    r_addr inet[], r_payload bytea[], r_key bigint[], r_category smallint[]
) RETURNS smallint[] LANGUAGE sql VOLATILE AS $$
    SELECT digest_events(p_node, p_segment, p_from, p_to, p_version, g_project, g_hash, g_type, g_value, g_title, g_transaction, g_filename, g_module,
                         g_function, g_level, g_platform, r_group, r_id, r_event_id, r_received, r_timestamp, r_title, r_level, r_platform, r_release,
                         r_environment, r_server, r_sdk_name, r_sdk_version, r_addr, r_payload, r_key, r_category,
                         array_fill(0::bigint, ARRAY[cardinality(r_id)]))
$$;

-- ---- copies that the statement at the end of a batch counts

-- Their reports say {"copy": {"c": category, "bytes": …, "name": …, "version": …}} beside their outcome.
CREATE FUNCTION digest_store_copies(v_project int[], x_key bigint[], x_event_id uuid[], x_received timestamptz[], v_report jsonb[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_category smallint[];
    v_bytes    bigint[];
    v_name     text[];
    v_version  text[];
BEGIN
    SELECT array_agg(x.project_id), array_agg(x.key_id), array_agg(x.event_id), array_agg(x.received_at), array_agg((c.v->>'c')::smallint),
           array_agg((c.v->>'bytes')::bigint), array_agg(c.v->>'name'), array_agg(c.v->>'version')
      INTO v_project, x_key, x_event_id, x_received, v_category, v_bytes, v_name, v_version
      FROM unnest(v_project, x_key, x_event_id, x_received, v_report) x(project_id, key_id, event_id, received_at, report)
     CROSS JOIN LATERAL (SELECT x.report->'copy' AS v) c
     WHERE x.project_id IS NOT NULL AND c.v IS NOT NULL;
    IF v_project IS NOT NULL THEN
        PERFORM duplicate_cases(v_project, x_key, x_event_id, x_received, v_category, v_bytes, v_name, v_version);
    END IF;
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
    PERFORM digest_store_feedback(v_project, x_id, x_received, v_report);
    PERFORM digest_store_attachments(v_project, x_id, x_event_id, x_received, v_report);
    v_report := digest_store_check_ins(v_project, x_id, x_key, x_received, v_report); -- what it adds is for cases and outcomes
    PERFORM digest_store_cases(v_report);
    PERFORM digest_store_copies(v_project, x_key, x_event_id, x_received, v_report); -- behind what may wait for lines
    PERFORM digest_store_outcomes(v_project, x_key, v_report); -- last: its rows are everybody's
END $$;
