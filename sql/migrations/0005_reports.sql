-- What is no event: accounts of what was taken and what was not, sessions, feedback.
--
-- digest_reports() ends a batch that holds such items: it stores them and claims the batch's spool range in one transaction. They have no row that
-- would tell a second delivery, so the ids of their spool records are kept for a while (report_ids): whatever is delivered twice, by a cut
-- connection, a crash or a statement that outlived its process, counts once.
--
-- Input, made by src/digest/batch.c from what src/event reads: x_* arrays, one element per item; x_report is a JSON object with some of the members
-- outcomes, cases, sessions, feedback. Statements of one project wait for each other (an advisory lock per project, ascending): what a session's
-- update changes depends on the updates before it. Outcomes come last, as in digest_batch.

-- Records that digest_reports has stored, for as long as one could be delivered again.
CREATE TABLE report_ids (
    id uuid PRIMARY KEY                         -- UUIDv7 of the receipt
);

-- Every item of every request is counted once (protocol §4.8). Numbers of categories and outcomes: include/picket/protocol/category.h.
CREATE TABLE outcomes (
    project_id int NOT NULL,                    -- no foreign key: what is left of a deleted project goes with the tidying
    hour       timestamptz NOT NULL,
    category   smallint NOT NULL,
    outcome    smallint NOT NULL,
    reason     text NOT NULL,
    key_id     bigint NOT NULL,                 -- 0: not known
    quantity   bigint NOT NULL,
    PRIMARY KEY (project_id, hour, category, outcome, reason, key_id)
) WITH (fillfactor = 70);

-- The newest refusals and drops of a project, for who asks why an event did not arrive. A few hundred each.
CREATE TABLE outcome_cases (
    project_id int NOT NULL,
    id         bigint GENERATED ALWAYS AS IDENTITY,
    at         timestamptz NOT NULL,
    category   smallint NOT NULL,
    outcome    smallint NOT NULL,
    reason     text NOT NULL,
    key_id     bigint NOT NULL,
    quantity   bigint NOT NULL,
    bytes      bigint NOT NULL,
    client     text NOT NULL,                   -- what the SDK calls itself
    event_id   uuid,
    PRIMARY KEY (project_id, id)
);

-- Release health (protocol §7.1). errored holds crashed, abnormal and unhandled ones, too.
CREATE TABLE release_hours (
    project_id  int NOT NULL REFERENCES projects ON DELETE CASCADE,
    release     text NOT NULL,
    environment text NOT NULL,
    hour        timestamptz NOT NULL,
    total       bigint NOT NULL,
    exited      bigint NOT NULL,
    errored     bigint NOT NULL,
    abnormal    bigint NOT NULL,
    unhandled   bigint NOT NULL,
    crashed     bigint NOT NULL,
    PRIMARY KEY (project_id, release, environment, hour)
) WITH (fillfactor = 70);
CREATE TABLE release_users (
    project_id  int NOT NULL REFERENCES projects ON DELETE CASCADE,
    release     text NOT NULL,
    environment text NOT NULL,
    hour        timestamptz NOT NULL,
    user_hash   uuid NOT NULL,                  -- of project and did: src/event/session.c
    errored     boolean NOT NULL,
    crashed     boolean NOT NULL,
    PRIMARY KEY (project_id, release, environment, hour, user_hash)
);
-- Sessions that may still change: an update counts by what it changes. Kept for as long as updates are taken.
CREATE TABLE session_states (
    project_id int NOT NULL REFERENCES projects ON DELETE CASCADE,
    sid        uuid NOT NULL,
    release    text NOT NULL,                   -- immutable after the first update
    environment text NOT NULL,
    started_at timestamptz NOT NULL,
    is_counted boolean NOT NULL,                -- its first update (init) has come
    errored    boolean NOT NULL,
    status     smallint NOT NULL,               -- 0 runs, 1 exited, 2 crashed, 3 abnormal, 4 unhandled: the first that ends it stays
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (project_id, sid)
) WITH (fillfactor = 70);
CREATE INDEX session_states_age ON session_states USING brin (updated_at) WITH (pages_per_range = 16, autosummarize = on);

-- What people wrote; the event may come before, with or after it, or never.
CREATE TABLE feedback (
    project_id  int NOT NULL REFERENCES projects ON DELETE CASCADE,
    id          uuid NOT NULL,                  -- UUIDv7 of the receipt
    feedback_id uuid,                           -- the SDK's
    event_id    uuid,                           -- the event that it is about
    received_at timestamptz NOT NULL,
    name        text NOT NULL,
    email       text NOT NULL,
    message     text NOT NULL,
    url         text NOT NULL,
    source      text NOT NULL,
    release     text NOT NULL,
    environment text NOT NULL,
    PRIMARY KEY (project_id, id)
);
CREATE UNIQUE INDEX feedback_once ON feedback (project_id, feedback_id);
CREATE INDEX feedback_event ON feedback (project_id, event_id);

-- p_sessions: elements of "sessions" with their project. Aggregates first, then updates: per sid what is true after them against what was before.
CREATE FUNCTION digest_sessions(p_now timestamptz, s_project int[], s_session jsonb[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    WITH read AS MATERIALIZED (
        SELECT s.project_id, (s.v->>'sid')::uuid AS sid, s.v->>'release' AS release, s.v->>'environment' AS environment,
               to_timestamp((s.v->>'at')::bigint) AS at, (s.v->>'user')::uuid AS user_hash, (s.v->>'seq')::bigint AS seq,
               (s.v->>'total')::bigint AS total, (s.v->>'exited')::bigint AS exited, (s.v->>'errored')::bigint AS errored,
               (s.v->>'abnormal')::bigint AS abnormal, (s.v->>'unhandled')::bigint AS unhandled, (s.v->>'crashed')::bigint AS crashed
          FROM unnest(s_project, s_session) s(project_id, v)),
    updates AS MATERIALIZED (
        SELECT project_id, sid, (array_agg(release ORDER BY seq))[1] AS release, (array_agg(environment ORDER BY seq))[1] AS environment,
               min(at) AS started_at, bool_or(total > 0) AS is_counted, bool_or(errored > 0) AS errored,
               coalesce((array_agg(CASE WHEN crashed > 0 THEN 2 WHEN abnormal > 0 THEN 3 WHEN unhandled > 0 THEN 4 ELSE 1 END ORDER BY seq)
                          FILTER (WHERE exited + crashed + abnormal + unhandled > 0))[1], 0)::smallint AS status
          FROM read WHERE sid IS NOT NULL GROUP BY project_id, sid),
    before AS MATERIALIZED (SELECT b.* FROM updates u JOIN session_states b USING (project_id, sid)),
    after AS MATERIALIZED (
        INSERT INTO session_states AS t (project_id, sid, release, environment, started_at, is_counted, errored, status, updated_at)
        SELECT u.project_id, u.sid, u.release, u.environment, u.started_at, u.is_counted, u.errored, u.status, p_now FROM updates u
         ORDER BY u.project_id, u.sid
            ON CONFLICT (project_id, sid) DO UPDATE
           SET is_counted = t.is_counted OR excluded.is_counted,
               errored = t.errored OR (excluded.errored AND t.status = 0),  -- after its end nothing changes any more
               status = CASE WHEN t.status = 0 THEN excluded.status ELSE t.status END, updated_at = excluded.updated_at
        RETURNING t.*),
    changes AS (
        SELECT a.project_id, a.release, a.environment, a.started_at AS at, (a.is_counted AND b.is_counted IS NOT TRUE)::int AS total,
               (a.errored AND b.errored IS NOT TRUE)::int AS errored, (a.status = 1 AND b.status IS DISTINCT FROM 1)::int AS exited,
               (a.status = 2 AND b.status IS DISTINCT FROM 2)::int AS crashed, (a.status = 3 AND b.status IS DISTINCT FROM 3)::int AS abnormal,
               (a.status = 4 AND b.status IS DISTINCT FROM 4)::int AS unhandled
          FROM after a LEFT JOIN before b USING (project_id, sid)
         UNION ALL
        SELECT project_id, release, environment, at, total, errored, exited, crashed, abnormal, unhandled FROM read WHERE sid IS NULL)
    INSERT INTO release_hours AS h (project_id, release, environment, hour, total, exited, errored, abnormal, unhandled, crashed)
    SELECT project_id, release, environment, date_trunc('hour', at, 'UTC'), sum(total), sum(exited), sum(errored), sum(abnormal), sum(unhandled),
           sum(crashed)
      FROM changes GROUP BY 1, 2, 3, 4
    HAVING sum(total) + sum(exited) + sum(errored) + sum(abnormal) + sum(unhandled) + sum(crashed) > 0
     ORDER BY 1, 2, 3, 4
        ON CONFLICT (project_id, release, environment, hour) DO UPDATE
       SET total = h.total + excluded.total, exited = h.exited + excluded.exited, errored = h.errored + excluded.errored,
           abnormal = h.abnormal + excluded.abnormal, unhandled = h.unhandled + excluded.unhandled, crashed = h.crashed + excluded.crashed;

    INSERT INTO release_users AS u (project_id, release, environment, hour, user_hash, errored, crashed)
    SELECT s.project_id, s.v->>'release', s.v->>'environment', date_trunc('hour', to_timestamp((s.v->>'at')::bigint), 'UTC'), (s.v->>'user')::uuid,
           bool_or((s.v->>'errored')::bigint > 0), bool_or((s.v->>'crashed')::bigint > 0)
      FROM unnest(s_project, s_session) s(project_id, v) WHERE s.v->>'user' IS NOT NULL
     GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
        ON CONFLICT (project_id, release, environment, hour, user_hash) DO UPDATE
       SET errored = u.errored OR excluded.errored, crashed = u.crashed OR excluded.crashed
     WHERE (excluded.errored AND NOT u.errored) OR (excluded.crashed AND NOT u.crashed);
END $$;

CREATE FUNCTION digest_reports_store(
    x_kind smallint[], x_project int[], x_key bigint[], x_id uuid[], x_event_id uuid[], x_received timestamptz[], x_addr inet[], x_report text[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_report   jsonb[];
    v_project  int[];  -- null: the project is gone
    s_project  int[];
    s_session  jsonb[];
BEGIN
    SELECT array_agg(x.report::jsonb ORDER BY x.n), array_agg(p.id ORDER BY x.n)
      INTO v_report, v_project
      FROM unnest(x_report, x_project) WITH ORDINALITY x(report, project_id, n) LEFT JOIN projects p ON p.id = x.project_id;

    SELECT array_agg(x.project_id), array_agg(e.v)
      INTO s_project, s_session
      FROM unnest(v_report, v_project) x(report, project_id) CROSS JOIN LATERAL jsonb_array_elements(x.report->'sessions') e(v)
     WHERE x.project_id IS NOT NULL;
    IF s_project IS NOT NULL THEN
        PERFORM digest_sessions(now(), s_project, s_session);
    END IF;

    INSERT INTO feedback (project_id, id, feedback_id, event_id, received_at, name, email, message, url, source, release, environment)
    SELECT x.project_id, x.id, (f.v->>'id')::uuid, (f.v->>'event_id')::uuid, x.received_at, f.v->>'name', f.v->>'email', f.v->>'message',
           f.v->>'url', f.v->>'source', f.v->>'release', f.v->>'environment'
      FROM unnest(v_report, v_project, x_id, x_received) x(report, project_id, id, received_at)
     CROSS JOIN LATERAL (SELECT x.report->'feedback' AS v) f
     WHERE x.project_id IS NOT NULL AND f.v IS NOT NULL
     ORDER BY x.project_id, x.id
        ON CONFLICT DO NOTHING;

    INSERT INTO outcome_cases (project_id, at, category, outcome, reason, key_id, quantity, bytes, client, event_id)
    SELECT p.id, (c.v->>'at')::timestamptz, (c.v->>'c')::smallint, (c.v->>'o')::smallint, c.v->>'r', (c.v->>'k')::bigint, (c.v->>'n')::bigint,
           (c.v->>'bytes')::bigint, c.v->>'client', (c.v->>'event_id')::uuid
      FROM unnest(v_report) x(report) CROSS JOIN LATERAL jsonb_array_elements(x.report->'cases') c(v)
      JOIN projects p ON p.id = (c.v->>'p')::bigint
     ORDER BY (c.v->>'at')::timestamptz;
    DELETE FROM outcome_cases c
     USING (SELECT d.project_id, (SELECT o.id FROM outcome_cases o WHERE o.project_id = d.project_id ORDER BY o.id DESC OFFSET 200 LIMIT 1) AS last
              FROM (SELECT DISTINCT (c.v->>'p')::int AS project_id
                      FROM unnest(v_report) x(report) CROSS JOIN LATERAL jsonb_array_elements(x.report->'cases') c(v)) d) old
     WHERE c.project_id = old.project_id AND c.id <= old.last;

    -- Items say their own key and project by their record, the door's account line by line.
    INSERT INTO outcomes AS o (project_id, hour, category, outcome, reason, key_id, quantity)
    SELECT t.project_id, t.hour, t.category, t.outcome, t.reason, t.key_id, sum(t.quantity)
      FROM (SELECT coalesce((e.v->>'p')::int, x.project_id) AS project_id, date_trunc('hour', to_timestamp((e.v->>'h')::bigint), 'UTC') AS hour,
                   (e.v->>'c')::smallint AS category, (e.v->>'o')::smallint AS outcome, e.v->>'r' AS reason,
                   coalesce((e.v->>'k')::bigint, x.key_id) AS key_id, (e.v->>'n')::bigint AS quantity
              FROM unnest(v_report, v_project, x_key) x(report, project_id, key_id)
             CROSS JOIN LATERAL jsonb_array_elements(x.report->'outcomes') e(v)) t
      JOIN projects p ON p.id = t.project_id
     GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6
        ON CONFLICT (project_id, hour, category, outcome, reason, key_id) DO UPDATE SET quantity = o.quantity + excluded.quantity;
END $$;

CREATE FUNCTION digest_reports(
    p_node uuid, p_segment bigint, p_from bigint, p_to bigint,
    x_kind smallint[], x_project int[], x_key bigint[], x_id uuid[], x_event_id uuid[], x_received timestamptz[], x_addr inet[], x_report text[]
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('picket.reports'), p.id)
       FROM (SELECT DISTINCT x.id FROM unnest(x_project) x(id) ORDER BY x.id) p;
    WITH fresh AS (
        INSERT INTO report_ids (id) SELECT DISTINCT x.id FROM unnest(x_id) x(id) ORDER BY x.id ON CONFLICT DO NOTHING RETURNING id)
    SELECT array_agg(x.kind ORDER BY x.n), array_agg(x.project ORDER BY x.n), array_agg(x.key ORDER BY x.n), array_agg(x.id ORDER BY x.n),
           array_agg(x.event_id ORDER BY x.n), array_agg(x.received ORDER BY x.n), array_agg(x.addr ORDER BY x.n), array_agg(x.report ORDER BY x.n)
      INTO x_kind, x_project, x_key, x_id, x_event_id, x_received, x_addr, x_report
      FROM unnest(x_kind, x_project, x_key, x_id, x_event_id, x_received, x_addr, x_report) WITH ORDINALITY
           x(kind, project, key, id, event_id, received, addr, report, n)
      JOIN fresh USING (id);
    IF x_id IS NOT NULL THEN
        PERFORM digest_reports_store(x_kind, x_project, x_key, x_id, x_event_id, x_received, x_addr, x_report);
    END IF;
    INSERT INTO digest_batches (id, node, segment, from_offset, to_offset, records, events)
    VALUES (nextval('digest_batch_id'), p_node, p_segment, p_from, p_to, coalesce(cardinality(x_kind), 0), 0);
END $$;

-- Which items cannot be stored, and why: each is tried by itself and taken back. Their place (from 1), SQLSTATE and constraint.
CREATE FUNCTION digest_reports_probe(
    x_kind smallint[], x_project int[], x_key bigint[], x_id uuid[], x_event_id uuid[], x_received timestamptz[], x_addr inet[], x_report text[]
) RETURNS TABLE (place bigint, state text, constraint_name text) LANGUAGE plpgsql AS $$
DECLARE
    n int := coalesce(cardinality(x_kind), 0);
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('picket.reports'), p.id)
       FROM (SELECT DISTINCT x.id FROM unnest(x_project) x(id) ORDER BY x.id) p;
    FOR i IN 1 .. n LOOP
        BEGIN
            PERFORM digest_reports_store(x_kind[i:i], x_project[i:i], x_key[i:i], x_id[i:i], x_event_id[i:i], x_received[i:i], x_addr[i:i],
                                         x_report[i:i]);
            RAISE SQLSTATE 'PKOK0';
        EXCEPTION
            WHEN SQLSTATE 'PKOK0' THEN NULL;
            WHEN OTHERS THEN
                GET STACKED DIAGNOSTICS constraint_name = CONSTRAINT_NAME;
                place := i;
                state := SQLSTATE;
                RETURN NEXT;
        END;
    END LOOP;
END $$;

-- A batch's events, stored by digest_batch and accounted for in the same transaction (category error is 1). Outcome 3: the record is there under its
-- own id, it came once and is delivered again. Duplicates are counted with the claim of their range: by this statement if it claims it, for the
-- first time; else by digest_reports.
CREATE FUNCTION digest_events(
    p_node uuid, p_segment bigint, p_from bigint, p_to bigint, p_version smallint,
    g_project int[], g_hash bytea[], g_type text[], g_value text[], g_title text[], g_transaction text[],
    g_filename text[], g_module text[], g_function text[], g_level text[], g_platform text[],
    r_group int[], r_id uuid[], r_event_id uuid[], r_received timestamptz[], r_timestamp timestamptz[], r_title text[],
    r_level text[], r_platform text[], r_release text[], r_environment text[], r_server text[], r_sdk_name text[], r_sdk_version text[],
    r_addr inet[], r_payload bytea[], r_key bigint[]
) RETURNS smallint[] LANGUAGE plpgsql SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_outcome smallint[] := digest_batch(
        p_node, p_segment, p_from, p_to, p_version, g_project, g_hash, g_type, g_value, g_title, g_transaction, g_filename, g_module,
        g_function, g_level, g_platform, r_group, r_id, r_event_id, r_received, r_timestamp, r_title, r_level, r_platform, r_release,
        r_environment, r_server, r_sdk_name, r_sdk_version, r_addr, r_payload);
    v_counts boolean := p_to > p_from AND (SELECT count(*) FROM digest_batches b
                                            WHERE b.node = p_node AND b.segment = p_segment AND b.from_offset = p_from AND b.to_offset > p_from) = 1;
BEGIN
    IF 0 = ANY (v_outcome) THEN
        SELECT array_agg(CASE WHEN r.outcome = 0 AND e.found THEN 3 ELSE r.outcome END::smallint ORDER BY r.n)
          INTO v_outcome
          FROM unnest(r_group, r_id, v_outcome) WITH ORDINALITY r(grp, id, outcome, n)
          LEFT JOIN LATERAL (SELECT true AS found FROM events e
                              WHERE r.outcome = 0 AND e.project_id = g_project[r.grp] AND e.id BETWEEN r.id AND r.id ORDER BY e.id LIMIT 1) e ON true;
    END IF;
    INSERT INTO outcomes AS o (project_id, hour, category, outcome, reason, key_id, quantity)
    SELECT g_project[r.grp], date_trunc('hour', r_received[1], 'UTC'), 1, CASE r.outcome WHEN 1 THEN 0 ELSE 3 END,
           CASE r.outcome WHEN 1 THEN '' ELSE 'duplicate' END, r.key, count(*)
      FROM unnest(r_group, r_id, r_key, v_outcome) r(grp, id, key, outcome)
     WHERE r.outcome = 1 OR (r.outcome = 0 AND v_counts)
     GROUP BY 1, 4, 5, 6 ORDER BY 1, 4, 5, 6
        ON CONFLICT (project_id, hour, category, outcome, reason, key_id) DO UPDATE SET quantity = o.quantity + excluded.quantity;
    RETURN v_outcome;
END $$;

-- Beside retention_tidy (0003): counts that are older than events are kept, what is left of deleted projects, sessions that nothing can change.
CREATE INDEX outcomes_hour ON outcomes USING brin (hour) WITH (pages_per_range = 16, autosummarize = on);
CREATE INDEX release_hours_hour ON release_hours USING brin (hour) WITH (pages_per_range = 16, autosummarize = on);
CREATE INDEX release_users_hour ON release_users USING brin (hour) WITH (pages_per_range = 16, autosummarize = on);
CREATE FUNCTION retention_tidy_reports(p_now timestamptz, p_days int, p_limit int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_until timestamptz;
    v_table text;
    v_all   bigint := 0;
    v_gone  bigint;
BEGIN
    SELECT date_trunc('day', p_now, 'UTC') - make_interval(days => greatest(p_days, coalesce(max(retention_days), 0))) INTO v_until FROM projects;
    FOREACH v_table IN ARRAY ARRAY['outcomes', 'release_hours', 'release_users'] LOOP
        EXECUTE format('DELETE FROM %1$I WHERE ctid IN (SELECT ctid FROM %1$I WHERE hour < $1 LIMIT $2)', v_table) USING v_until, p_limit;
        GET DIAGNOSTICS v_gone = ROW_COUNT;
        v_all := v_all + v_gone;
    END LOOP;
    FOREACH v_table IN ARRAY ARRAY['outcomes', 'outcome_cases'] LOOP
        EXECUTE format('DELETE FROM %1$I WHERE ctid IN (SELECT o.ctid FROM %1$I o
                         WHERE NOT EXISTS (SELECT FROM projects p WHERE p.id = o.project_id) LIMIT $1)', v_table) USING p_limit;
        GET DIAGNOSTICS v_gone = ROW_COUNT;
        v_all := v_all + v_gone;
    END LOOP;
    -- what people wrote goes with the events of its day
    DELETE FROM feedback WHERE ctid IN (SELECT ctid FROM feedback WHERE id < uuid7_floor(v_until) LIMIT p_limit);
    GET DIAGNOSTICS v_gone = ROW_COUNT;
    v_all := v_all + v_gone;
    DELETE FROM report_ids WHERE ctid IN (SELECT ctid FROM report_ids WHERE id < uuid7_floor(p_now - interval '8 days') ORDER BY id LIMIT p_limit);
    GET DIAGNOSTICS v_gone = ROW_COUNT;
    v_all := v_all + v_gone;
    -- sessions are taken for five days after they began (src/event/session.c)
    DELETE FROM session_states WHERE ctid IN (SELECT ctid FROM session_states WHERE updated_at < p_now - interval '6 days' LIMIT p_limit);
    GET DIAGNOSTICS v_gone = ROW_COUNT;
    RETURN v_all + v_gone;
END $$;

-- ---- retention's swap (0003) and transactions that keep the table

-- Transactions that have the table of events. By pg_locks, which hides nobody's sessions.
CREATE FUNCTION retention_holders() RETURNS TABLE (holder text) LANGUAGE sql VOLATILE AS $$
    SELECT l.virtualtransaction FROM pg_locks l
     WHERE l.locktype = 'relation' AND l.relation = 'events'::regclass AND l.granted AND l.pid <> pg_backend_pid()
       AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
$$;

-- retention_swap, but it does not stand in line behind a transaction that has kept the table for p_lock_ms already (pg_dump): nobody should wait
-- behind it for what will not come. SQLSTATE 55P03: try again.
CREATE FUNCTION retention_swap_unless_held(p_day date, p_stage smallint, p_horizon bigint, p_lock_ms int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_held text[] := ARRAY(SELECT holder FROM retention_holders());
BEGIN
    IF v_held <> '{}' THEN
        PERFORM pg_sleep(p_lock_ms / 1000.0);
        IF v_held && ARRAY(SELECT holder FROM retention_holders()) THEN
            RAISE 'events is in use by a long transaction' USING ERRCODE = 'lock_not_available';
        END IF;
    END IF;
    RETURN retention_swap(p_day, p_stage, p_horizon, p_lock_ms);
END $$;
