-- Erased persons: somebody's data must go. A request is a row; a retention run works it off (src/digest/erasure.c):
--
--   scan    looks into the payloads of the request's project, page by page, and writes down whose events are whose (erasure_rows). There is no
--           column that would tell: a person may be known by id, email address, user name or IP address, and what is not kept cannot leak
--   days    a day with such rows is due at once when it is over: it is rewritten without them, as when it cools, so that the bytes are gone and
--           not only out of sight
--   tidy    rows of the day that is still being written are deleted, some at a time, and that day is rewritten when it is over; feedback by the
--           person's address, and users of sessions by their hash
--   files   dead letters that were spilled lie beside a server: each looks through its own (src/digest/letters.c)
--
-- A request is about what was received before it. What was, but is digested later (a spool's backlog), is found by the runs of the day after:
-- they look at the batches since the last run's horizon. Then the request forgets whom it was about.
CREATE TABLE erasures (
    project_id   int NOT NULL REFERENCES projects ON DELETE CASCADE,
    id           bigint GENERATED ALWAYS AS IDENTITY,
    field        text NOT NULL,                 -- any, id, email, username, ip: include/picket/event/person.h
    key          text NOT NULL,                 -- '' when forgotten
    requested_at timestamptz NOT NULL DEFAULT now(),
    user_id      int,                           -- who asked; null: a command
    horizon      bigint NOT NULL DEFAULT -1,    -- batches up to this one were looked at
    done_at      timestamptz,
    forgotten_at timestamptz,
    events       bigint NOT NULL DEFAULT 0,     -- this and the next: what is gone
    dead_letters bigint NOT NULL DEFAULT 0,
    files        bigint NOT NULL DEFAULT 0,
    feedback     bigint NOT NULL DEFAULT 0,
    session_users bigint NOT NULL DEFAULT 0,    -- one per hour, release and environment
    bytes        bigint NOT NULL DEFAULT 0,     -- of all that, about
    PRIMARY KEY (project_id, id)
);
CREATE UNIQUE INDEX erasures_id ON erasures (id);
CREATE INDEX erasures_open ON erasures (id) WHERE forgotten_at IS NULL;

-- Events that were found and are still there.
CREATE TABLE erasure_rows (
    project_id int NOT NULL,
    id         uuid NOT NULL,
    erasure_id bigint NOT NULL,
    bytes      bigint NOT NULL,
    PRIMARY KEY (project_id, id)
);
-- Days whose rows were deleted while they were written, to be rewritten when they are over.
CREATE TABLE erasure_days (
    day date PRIMARY KEY
);

-- Where to look: tables of events with rows of the projects that came in batches above `p_above` and up to the horizon.
CREATE FUNCTION erasure_places(p_project int[], p_above bigint[], p_horizon bigint)
RETURNS TABLE (project_id int, place text, above bigint) LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_found boolean;
BEGIN
    FOR project_id, above IN SELECT p.id, min(p.above) FROM unnest(p_project, p_above) p(id, above) GROUP BY p.id ORDER BY p.id LOOP
        FOR place IN SELECT l.name FROM retention_days_list() l UNION ALL SELECT 'events_default' ORDER BY 1 LOOP
            EXECUTE format('SELECT EXISTS (SELECT FROM %I e WHERE e.project_id = $1 AND e.batch_id > $2 AND e.batch_id <= $3)', place)
               INTO v_found USING project_id, above, p_horizon;
            IF v_found THEN
                RETURN NEXT;
            END IF;
        END LOOP;
    END LOOP;
END $$;

-- The next rows of a place behind p_after: at most p_limit, and no more when they have p_bytes together. A place that is gone has none.
CREATE FUNCTION erasure_page(p_place text, p_project int, p_after uuid, p_above bigint, p_horizon bigint, p_limit int, p_bytes bigint)
RETURNS TABLE (id uuid, address text, payload bytea) LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF to_regclass(p_place) IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format($q$
        SELECT p.id, host(p.remote_addr), p.payload
          FROM (SELECT e.id, e.remote_addr, e.payload, sum(octet_length(e.payload)) OVER (ORDER BY e.id) - octet_length(e.payload) AS before
                  FROM (SELECT * FROM %I r WHERE r.project_id = $1 AND r.id > $2 AND r.batch_id > $3 AND r.batch_id <= $4
                         ORDER BY r.id LIMIT $5) e) p
         WHERE p.before < $6 ORDER BY p.id$q$, p_place)
    USING p_project, p_after, p_above, p_horizon, p_limit, p_bytes;
END $$;

-- What becomes of a day's rows once the day was rewritten or dropped.
CREATE FUNCTION erasure_settle_day(p_day date) RETURNS void LANGUAGE sql AS $$
    WITH gone AS (
        DELETE FROM erasure_rows r
         WHERE r.id >= uuid7_floor(p_day::timestamp AT TIME ZONE 'UTC') AND r.id < uuid7_floor((p_day + 1)::timestamp AT TIME ZONE 'UTC')
           AND NOT EXISTS (SELECT FROM events_default d WHERE d.project_id = r.project_id AND d.id = r.id)
        RETURNING r.*)
    UPDATE erasures e SET events = e.events + g.n, bytes = e.bytes + g.bytes
      FROM (SELECT project_id, erasure_id, count(*) AS n, sum(bytes) AS bytes FROM gone GROUP BY 1, 2) g
     WHERE e.project_id = g.project_id AND e.id = g.erasure_id;
    DELETE FROM erasure_days d WHERE d.day = p_day;
$$;

CREATE FUNCTION erasure_user_hash(p_project int, p_key text) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ -- as src/event/session.c makes it
    SELECT encode(substr(sha256(convert_to(p_project || ':' || p_key, 'UTF8')), 1, 16), 'hex')::uuid
$$;

-- Rows that are deleted, at most about p_limit at a call: how many went. None: requests that were worked off are done, and old ones forget.
CREATE FUNCTION erasure_tidy(p_now timestamptz, p_limit int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_today  uuid := uuid7_floor(date_trunc('day', p_now, 'UTC'));
    v_open   record;
    v_events bigint := 0;
    v_all    bigint := 0;
    v_gone   bigint;
    v_bytes  bigint;
BEGIN
    FOR v_open IN SELECT * FROM erasures WHERE forgotten_at IS NULL AND horizon >= 0 ORDER BY id LOOP
        v_bytes := 0;
        v_gone := 0;
        IF v_open.field IN ('any', 'email') THEN
            WITH gone AS (
                DELETE FROM feedback WHERE ctid IN (
                    SELECT f.ctid FROM feedback f
                     WHERE f.project_id = v_open.project_id AND lower(f.email) = lower(v_open.key) AND f.received_at < v_open.requested_at LIMIT p_limit)
                RETURNING pg_column_size(feedback.*) AS bytes)
            SELECT count(*), coalesce(sum(bytes), 0) INTO v_gone, v_bytes FROM gone;
            UPDATE erasures SET feedback = feedback + v_gone, bytes = bytes + v_bytes WHERE id = v_open.id AND v_gone > 0;
            v_all := v_all + v_gone;
        END IF;
        WITH gone AS (
            DELETE FROM release_users WHERE ctid IN (
                SELECT u.ctid FROM release_users u
                 WHERE u.project_id = v_open.project_id AND u.user_hash = erasure_user_hash(v_open.project_id, v_open.key)
                   AND u.hour < v_open.requested_at LIMIT p_limit)
            RETURNING pg_column_size(release_users.*) AS bytes)
        SELECT count(*), coalesce(sum(bytes), 0) INTO v_gone, v_bytes FROM gone;
        UPDATE erasures SET session_users = session_users + v_gone, bytes = bytes + v_bytes WHERE id = v_open.id AND v_gone > 0;
        v_all := v_all + v_gone;
    END LOOP;

    -- Last, because it locks counters, which batches wait for; of one project, so that nobody who has one waits for another.
    WITH found AS (
        SELECT r.* FROM erasure_rows r
         WHERE r.project_id = (SELECT o.project_id FROM erasure_rows o
                                WHERE o.id >= v_today OR EXISTS (SELECT FROM events_default d WHERE d.project_id = o.project_id AND d.id = o.id)
                                ORDER BY o.project_id LIMIT 1)
           AND (r.id >= v_today OR EXISTS (SELECT FROM events_default d WHERE d.project_id = r.project_id AND d.id = r.id))
         LIMIT p_limit),
    hot AS (
        DELETE FROM events e USING found f WHERE e.project_id = f.project_id AND e.id = f.id AND e.id >= v_today
        RETURNING e.project_id, (e.received_at AT TIME ZONE 'UTC')::date AS day),
    strayed AS (
        DELETE FROM events_default e USING found f WHERE e.project_id = f.project_id AND e.id = f.id AND e.id < v_today RETURNING e.project_id),
    noted AS (INSERT INTO erasure_days SELECT DISTINCT day FROM hot ON CONFLICT DO NOTHING),
    settled AS (
        DELETE FROM erasure_rows r USING found f WHERE r.project_id = f.project_id AND r.id = f.id RETURNING r.*),
    accounted AS (
        UPDATE erasures e SET events = e.events + s.n, bytes = e.bytes + s.bytes
          FROM (SELECT project_id, erasure_id, count(*) AS n, sum(bytes) AS bytes FROM settled GROUP BY 1, 2) s
         WHERE e.project_id = s.project_id AND e.id = s.erasure_id),
    counted AS (
        UPDATE project_counters c SET stored = c.stored - g.n
          FROM (SELECT project_id, count(*) AS n FROM (SELECT project_id FROM hot UNION ALL SELECT project_id FROM strayed) d GROUP BY 1) g
         WHERE c.project_id = g.project_id)
    SELECT count(*) INTO v_events FROM settled;

    IF v_events + v_all = 0 THEN
        UPDATE erasures e SET done_at = p_now
         WHERE e.done_at IS NULL AND e.horizon >= 0 AND NOT EXISTS (SELECT FROM erasure_rows r WHERE r.erasure_id = e.id);
        UPDATE erasures e SET field = 'any', key = '', forgotten_at = p_now
         WHERE e.done_at IS NOT NULL AND e.forgotten_at IS NULL AND e.requested_at < p_now - interval '1 day'
           AND NOT EXISTS (SELECT FROM erasure_rows r WHERE r.erasure_id = e.id);
        DELETE FROM erasure_rows r WHERE NOT EXISTS (SELECT FROM erasures e WHERE e.id = r.erasure_id); -- its project is gone
    END IF;
    RETURN v_events + v_all;
END $$;

-- ---- retention (0003, 0005, 0006), which knows of that now

CREATE OR REPLACE FUNCTION retention_due(p_now timestamptz, p_days int, p_per_issue int)
RETURNS TABLE (day date, stage smallint, drops boolean) LANGUAGE sql STABLE AS $$
    WITH rules AS MATERIALIZED (SELECT * FROM retention_rules(p_now, p_days, p_per_issue)),
    keep AS (SELECT coalesce(min(r.first_day), (p_now AT TIME ZONE 'UTC')::date - p_days) AS first_day FROM rules r),
    days AS (
        SELECT l.day, (p_now AT TIME ZONE 'UTC')::date - l.day AS age, coalesce(e.stage, 0) AS stage, e.rows
          FROM retention_days_list() l LEFT JOIN event_days e ON e.day = l.day),
    staged AS (
        SELECT d.*, (CASE WHEN d.age >= 31 THEN 3 WHEN d.age >= 8 THEN 2 WHEN d.age >= 2 THEN 1 ELSE 0 END)::smallint AS due_stage,
               (SELECT sum(p.rows + p.dropping) FILTER (WHERE r.project_id IS NULL) FROM event_day_projects p
                  LEFT JOIN rules r ON r.project_id = p.project_id WHERE p.day = d.day) AS orphans,
               (SELECT sum(p.rows + p.dropping) FROM event_day_projects p JOIN rules r ON r.project_id = p.project_id
                 WHERE p.day = d.day AND p.day < r.first_day) AS late,
               EXISTS (SELECT FROM event_day_projects p JOIN rules r ON r.project_id = p.project_id
                        WHERE p.day = d.day AND p.rows + p.dropping > 0 AND p.day < r.first_day - 7) AS overdue,
               d.age > 0 AND (EXISTS (SELECT FROM erasure_days e WHERE e.day = d.day)
                              OR EXISTS (SELECT FROM erasure_rows e WHERE e.id >= uuid7_floor(d.day::timestamp AT TIME ZONE 'UTC')
                                            AND e.id < uuid7_floor((d.day + 1)::timestamp AT TIME ZONE 'UTC'))) AS erased
          FROM days d)
    SELECT s.day, greatest(s.due_stage, s.stage)::smallint, s.day < k.first_day
      FROM staged s CROSS JOIN keep k
     WHERE s.erased OR (s.due_stage > 0
       AND (s.day < k.first_day OR s.due_stage > s.stage OR s.orphans > 0 OR s.overdue OR s.late * 10 >= greatest(s.rows, 1)))
     ORDER BY s.day
$$;

CREATE OR REPLACE FUNCTION retention_judged(p_day date, p_horizon bigint, p_now timestamptz, p_days int, p_per_issue int)
RETURNS TABLE (project_id int, id uuid, bytes int, keep boolean) LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY EXECUTE format($q$
        WITH rules AS MATERIALIZED (SELECT * FROM retention_rules($2, $3, $4)),
        listed AS (
            SELECT e.project_id, e.id, g.issue_id, octet_length(e.payload) + 250 AS bytes,
                   r.project_id IS NOT NULL AND $1 >= r.first_day AND x.id IS NULL AS keep,
                   r.per_issue, row_number() OVER w AS rank, count(*) OVER (PARTITION BY e.project_id, g.issue_id, x.id IS NULL) AS of
              FROM %I e
              LEFT JOIN rules r ON r.project_id = e.project_id
              LEFT JOIN groupings g ON g.project_id = e.project_id AND g.id = e.grouping_id
              LEFT JOIN erasure_rows x ON x.project_id = e.project_id AND x.id = e.id
             WHERE e.batch_id <= $5
            WINDOW w AS (PARTITION BY e.project_id, g.issue_id, x.id IS NULL ORDER BY e.id)),
        noisy AS (
            SELECT h.project_id, h.issue_id, sum(h.events) AS total,
                   sum(h.events) FILTER (WHERE h.hour >= $1::timestamp AT TIME ZONE 'UTC' AND h.hour < ($1 + 1)::timestamp AT TIME ZONE 'UTC') AS here
              FROM (SELECT DISTINCT l.project_id, l.issue_id FROM listed l WHERE l.of > 2 AND l.per_issue IS NOT NULL) l
              JOIN issue_hours h ON h.project_id = l.project_id AND h.issue_id = l.issue_id
              JOIN rules r ON r.project_id = h.project_id
             WHERE h.hour >= r.first_day::timestamp AT TIME ZONE 'UTC'
             GROUP BY h.project_id, h.issue_id, r.per_issue HAVING sum(h.events) > r.per_issue),
        shared AS (
            SELECT l.*, CASE WHEN n.here > 0 THEN greatest(2, ceil(l.per_issue * n.here / n.total))::bigint END AS share
              FROM listed l LEFT JOIN noisy n ON n.project_id = l.project_id AND n.issue_id = l.issue_id)
        SELECT s.project_id, s.id, s.bytes,
               s.keep AND (s.share IS NULL OR s.of <= s.share OR s.rank = s.of OR
                           (s.rank - 1) * (s.share - 1) / s.of <> (s.rank - 2) * (s.share - 1) / s.of OR s.rank = 1)
          FROM shared s$q$, 'events_' || to_char(p_day, 'YYYYMMDD'))
    USING p_day, p_now, p_days, p_per_issue, p_horizon;
END $$;

-- With a fifth column: is there a copy to be swapped in?
DROP FUNCTION retention_copy(date, smallint, boolean, bigint, timestamptz, int, int);
CREATE FUNCTION retention_copy(p_day date, p_stage smallint, p_drops boolean, p_horizon bigint, p_now timestamptz, p_days int, p_per_issue int)
RETURNS TABLE (rows bigint, bytes bigint, dropped_rows bigint, dropped_bytes bigint, is_made boolean) LANGUAGE plpgsql AS $$
DECLARE
    v_old text := 'events_' || to_char(p_day, 'YYYYMMDD');
    v_new text := v_old || '_new';
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('picket.retention'));
    EXECUTE format('DROP TABLE IF EXISTS %I', v_new);
    CREATE TEMP TABLE retention_rows ON COMMIT DROP AS SELECT * FROM retention_judged(p_day, p_horizon, p_now, p_days, p_per_issue);
    ANALYZE retention_rows;
    SELECT count(*), coalesce(sum(j.bytes), 0), count(*) FILTER (WHERE NOT j.keep), coalesce(sum(j.bytes) FILTER (WHERE NOT j.keep), 0)
      INTO rows, bytes, dropped_rows, dropped_bytes FROM retention_rows j;
    is_made := dropped_rows > 0 OR (p_drops AND rows = 0) OR EXISTS (SELECT FROM erasure_days d WHERE d.day = p_day);
    DELETE FROM event_day_projects d WHERE d.day = p_day;
    INSERT INTO event_day_projects (project_id, day, rows, bytes, dropping)
    SELECT j.project_id, p_day, count(*) FILTER (WHERE j.keep), coalesce(sum(j.bytes) FILTER (WHERE j.keep), 0), count(*) FILTER (WHERE NOT j.keep)
      FROM retention_rows j GROUP BY j.project_id;
    IF NOT is_made THEN
        PERFORM erasure_settle_day(p_day); -- what was found there went another way
        INSERT INTO event_days AS d VALUES (p_day, p_stage, rows, bytes)
            ON CONFLICT (day) DO UPDATE SET stage = excluded.stage, rows = excluded.rows, bytes = excluded.bytes, cooled_at = now();
    ELSE
        EXECUTE format('CREATE TABLE %I (LIKE events INCLUDING DEFAULTS INCLUDING STORAGE)', v_new);
        EXECUTE format('COMMENT ON TABLE %I IS %L', v_new, p_horizon);
        EXECUTE format('INSERT INTO %I SELECT e.* FROM %I e JOIN retention_rows j ON j.project_id = e.project_id AND j.id = e.id
                         WHERE j.keep ORDER BY e.project_id, e.grouping_id, e.id', v_new, v_old);
        EXECUTE format('ALTER TABLE %I ADD PRIMARY KEY (project_id, id)', v_new);
        EXECUTE format('CREATE INDEX ON %I (project_id, grouping_id, id)', v_new);
        EXECUTE format('CREATE INDEX ON %I USING brin (batch_id) WITH (pages_per_range = 16, autosummarize = off)', v_new);
        EXECUTE format('CREATE UNIQUE INDEX ON %I (project_id, event_id)', v_new);
        EXECUTE format('ALTER TABLE %I ADD CONSTRAINT bound CHECK (id >= %L AND id < %L)', v_new,
                       uuid7_floor(p_day::timestamp AT TIME ZONE 'UTC'), uuid7_floor((p_day + 1)::timestamp AT TIME ZONE 'UTC'));
        EXECUTE format('ANALYZE %I', v_new);
        PERFORM brin_summarize_new_values(x.indexrelid) FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid JOIN pg_am a ON a.oid = c.relam
          WHERE x.indrelid = v_old::regclass AND a.amname = 'brin';
    END IF;
    RETURN NEXT;
END $$;

CREATE OR REPLACE FUNCTION retention_swap_unless_held(p_day date, p_stage smallint, p_horizon bigint, p_lock_ms int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_held text[] := ARRAY(SELECT holder FROM retention_holders());
    v_late bigint;
BEGIN
    IF v_held <> '{}' THEN
        PERFORM pg_sleep(p_lock_ms / 1000.0);
        IF v_held && ARRAY(SELECT holder FROM retention_holders()) THEN
            RAISE 'events is in use by a long transaction' USING ERRCODE = 'lock_not_available';
        END IF;
    END IF;
    v_late := retention_swap(p_day, p_stage, p_horizon, p_lock_ms);
    PERFORM erasure_settle_day(p_day);
    RETURN v_late;
END $$;
