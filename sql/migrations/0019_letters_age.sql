-- What is kept and what goes: dead letters have an age, attachments go with the events that sampling drops, and tidying says what it took away.

-- ---- dead letters

-- A letter goes when it first failed so many days ago, whatever has become of it since (DEAD_LETTERS_DAYS; files of letters: src/digest/letters.c).
-- Two may stay a little longer: one that somebody wants tried again has a day for that, also where it lay unseen until then; and one that was stored or
-- dropped a moment ago hides files that a cut may have left, until each server has seen it (0014).
ALTER TABLE dead_letters ADD COLUMN marked_at timestamptz; -- of status retry: since when
CREATE INDEX dead_letters_age ON dead_letters (first_failed_at);

-- By a trigger, because the release before sets marks, too.
CREATE FUNCTION dead_letters_mark() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.marked_at := now();
    RETURN NEW;
END $$;
CREATE TRIGGER dead_letters_mark BEFORE INSERT OR UPDATE OF status ON dead_letters
    FOR EACH ROW WHEN (NEW.status = 'retry') EXECUTE FUNCTION dead_letters_mark();

CREATE FUNCTION dead_letter_may_go(p_status text, p_marked timestamptz, p_done timestamptz, p_now timestamptz) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE p_status WHEN 'retry' THEN coalesce(p_marked, '-infinity') < p_now - interval '1 day'
                         WHEN 'stored' THEN coalesce(p_done, '-infinity') < p_now - interval '1 minute'
                         ELSE true END
$$;

-- Some at a call: how many went. One that somebody has in hand at this moment (a retry, an erasure, a spill) stays until the next run. Payloads are
-- large: few at once.
CREATE FUNCTION retention_tidy_letters(p_now timestamptz, p_days int, p_limit int) RETURNS bigint LANGUAGE sql AS $$
    WITH due AS MATERIALIZED (
        SELECT d.id FROM dead_letters d
         WHERE d.first_failed_at < p_now - make_interval(days => p_days)
           AND dead_letter_may_go(d.status, d.marked_at, greatest(d.stored_at, d.dropped_at), p_now)
         ORDER BY d.first_failed_at LIMIT least(p_limit, 500) FOR UPDATE SKIP LOCKED),
    gone AS (DELETE FROM dead_letters d USING due WHERE d.id = due.id RETURNING d.id)
    SELECT count(*) FROM gone
$$;

-- ---- attachments of events that are dropped

-- Events that a copy leaves out and that have attachments, noted by the copy, because the swap must be quick. When no event of that id is there any
-- more, what had been received for it by then goes: an id may have come several times, on other days, and a swap may not come at all. As long as there
-- is such an event, it is looked for again daily and after the next copy of its day. Attachments whose event never came are never noted. No foreign
-- key: a project that is deleted must not make a copy fail; its attachments are gone, and so is the note at the next look.
CREATE TABLE attachment_leavings (
    project_id int NOT NULL,
    event_id   uuid NOT NULL,                   -- the SDK's
    noted_at   timestamptz NOT NULL DEFAULT now(),
    look_at    timestamptz NOT NULL DEFAULT '-infinity', -- when it is looked for next
    PRIMARY KEY (project_id, event_id)
);
CREATE INDEX attachment_leavings_look ON attachment_leavings (look_at);

-- As in 0009, but for the notes.
CREATE OR REPLACE FUNCTION retention_copy(p_day date, p_stage smallint, p_drops boolean, p_horizon bigint, p_now timestamptz, p_days int, p_per_issue int)
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
        EXECUTE format('INSERT INTO attachment_leavings AS l (project_id, event_id)
                        SELECT e.project_id, e.event_id FROM %I e JOIN retention_rows j ON j.project_id = e.project_id AND j.id = e.id
                         WHERE NOT j.keep AND EXISTS (SELECT FROM attachments a WHERE a.project_id = e.project_id AND a.event_id = e.event_id)
                            ON CONFLICT (project_id, event_id) DO UPDATE SET noted_at = excluded.noted_at, look_at = excluded.look_at', v_old);
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

-- Some notes at a call (`looked`; 0: this run has looked at all), and what went. Each note costs a probe for every day that is kept: few at once,
-- because who makes a partition waits for a statement that looks into all of them.
CREATE FUNCTION retention_attachments_left(p_now timestamptz, p_limit int) RETURNS TABLE (looked bigint, rows bigint, bytes bigint)
LANGUAGE sql SET enable_seqscan = off SET jit = off AS $$
    WITH noted AS MATERIALIZED (
        SELECT n.project_id, n.event_id, n.noted_at, e.found IS TRUE AS is_there
          FROM (SELECT * FROM attachment_leavings l WHERE l.look_at <= p_now ORDER BY l.look_at LIMIT least(p_limit, 500)) n
          LEFT JOIN LATERAL (SELECT true AS found FROM events e WHERE e.project_id = n.project_id AND e.event_id = n.event_id LIMIT 1) e ON true),
    doomed AS MATERIALIZED (
        SELECT o.project_id, o.id
          FROM noted n
         CROSS JOIN LATERAL (SELECT a.project_id, a.id FROM attachments a
                              WHERE a.project_id = n.project_id AND a.event_id = n.event_id AND a.id < uuid7_floor(n.noted_at) LIMIT p_limit) o
         WHERE NOT n.is_there LIMIT p_limit),
    gone AS (DELETE FROM attachments a USING doomed d WHERE a.project_id = d.project_id AND a.id = d.id RETURNING a.size),
    settled AS ( -- unless there may be more of it
        DELETE FROM attachment_leavings l USING noted n
         WHERE NOT n.is_there AND l.project_id = n.project_id AND l.event_id = n.event_id AND (SELECT count(*) FROM doomed) < p_limit),
    later AS (
        UPDATE attachment_leavings l SET look_at = p_now + interval '1 day' FROM noted n
         WHERE n.is_there AND l.project_id = n.project_id AND l.event_id = n.event_id)
    SELECT (SELECT count(*) FROM noted), count(*), coalesce(sum(g.size), 0)::bigint FROM gone g
$$;

-- With what a swap of the day would take of attachments, beside those that go for their own age or with erased persons.
DROP FUNCTION retention_preview(date, bigint, timestamptz, int, int);
CREATE FUNCTION retention_preview(p_day date, p_horizon bigint, p_now timestamptz, p_days int, p_per_issue int)
RETURNS TABLE (rows bigint, bytes bigint, dropped_rows bigint, dropped_bytes bigint, attachments bigint, attachment_bytes bigint)
LANGUAGE sql STABLE SET jit = off AS $$
    WITH judged AS MATERIALIZED (SELECT * FROM retention_judged(p_day, p_horizon, p_now, p_days, p_per_issue)),
    attached AS MATERIALIZED (
        SELECT e.project_id, e.event_id, e.id, a.size
          FROM judged j
          JOIN retention_rules(p_now, p_days, p_per_issue) r ON r.project_id = j.project_id
          JOIN events e ON e.project_id = j.project_id AND e.id = j.id
           AND e.id >= uuid7_floor(p_day::timestamp AT TIME ZONE 'UTC') AND e.id < uuid7_floor((p_day + 1)::timestamp AT TIME ZONE 'UTC')
          JOIN attachments a ON a.project_id = e.project_id AND a.event_id = e.event_id AND a.id >= uuid7_floor(r.first_day::timestamp AT TIME ZONE 'UTC')
         WHERE NOT j.keep),
    going AS (
        SELECT a.size
          FROM attached a
          LEFT JOIN LATERAL (SELECT true AS found FROM events o WHERE o.project_id = a.project_id AND o.event_id = a.event_id AND o.id <> a.id LIMIT 1) o ON true
         WHERE o.found IS NULL AND NOT EXISTS (SELECT FROM erasure_rows x WHERE x.project_id = a.project_id AND x.id = a.id))
    SELECT j.*, g.* FROM (SELECT count(*), coalesce(sum(bytes), 0), count(*) FILTER (WHERE NOT keep), coalesce(sum(bytes) FILTER (WHERE NOT keep), 0) FROM judged) j,
                         (SELECT count(*), coalesce(sum(size), 0)::bigint FROM going) g
$$;

-- ---- tidying, by what it takes away

-- Where the rows are that may go, at most p_limit of each (null: all): so that what deletes them and what only counts them agree.
CREATE FUNCTION retention_until(p_now timestamptz, p_days int) RETURNS timestamptz LANGUAGE sql STABLE AS $$ -- by the longest days of any project
    SELECT date_trunc('day', p_now, 'UTC') - make_interval(days => greatest(p_days, coalesce(max(retention_days), 0))) FROM projects
$$;
CREATE FUNCTION retention_due_feedback(p_now timestamptz, p_days int, p_limit int) RETURNS SETOF tid LANGUAGE sql STABLE AS $$
    SELECT o.place FROM retention_rules(p_now, p_days, NULL) r
     CROSS JOIN LATERAL (SELECT f.ctid AS place FROM feedback f WHERE f.project_id = r.project_id
                            AND f.id < uuid7_floor(r.first_day::timestamp AT TIME ZONE 'UTC') LIMIT p_limit) o LIMIT p_limit
$$;
CREATE FUNCTION retention_due_check_ins(p_now timestamptz, p_days int, p_limit int) RETURNS SETOF tid LANGUAGE sql STABLE AS $$
    (SELECT o.place FROM projects p
      CROSS JOIN LATERAL (SELECT c.ctid AS place FROM check_ins c WHERE c.project_id = p.id
                             AND c.id < uuid7_floor(date_trunc('day', p_now, 'UTC') - make_interval(days => coalesce(p.retention_days, p_days)))
                           LIMIT p_limit) o LIMIT p_limit)
     UNION
    (SELECT o.place FROM monitor_leavings l
      CROSS JOIN LATERAL (SELECT c.ctid AS place FROM check_ins c WHERE c.project_id = l.project_id AND c.environment_id = l.environment_id
                           LIMIT p_limit) o LIMIT p_limit)
$$;
CREATE FUNCTION retention_due_outcomes(p_now timestamptz, p_days int, p_limit int) RETURNS SETOF tid LANGUAGE sql STABLE AS $$
    (SELECT o.ctid FROM outcomes o WHERE o.hour < (SELECT retention_until(p_now, p_days)) LIMIT p_limit)
     UNION
    (SELECT o.ctid FROM outcomes o WHERE NOT EXISTS (SELECT FROM projects p WHERE p.id = o.project_id) LIMIT p_limit)
$$;
CREATE FUNCTION retention_due_outcome_cases(p_limit int) RETURNS SETOF tid LANGUAGE sql STABLE AS $$
    SELECT o.ctid FROM outcome_cases o WHERE NOT EXISTS (SELECT FROM projects p WHERE p.id = o.project_id) LIMIT p_limit
$$;
CREATE FUNCTION retention_due_release_hours(p_now timestamptz, p_days int, p_limit int) RETURNS SETOF tid LANGUAGE sql STABLE AS $$
    SELECT h.ctid FROM release_hours h WHERE h.hour < (SELECT retention_until(p_now, p_days)) LIMIT p_limit
$$;
CREATE FUNCTION retention_due_release_users(p_now timestamptz, p_days int, p_limit int) RETURNS SETOF tid LANGUAGE sql STABLE AS $$
    SELECT u.ctid FROM release_users u WHERE u.hour < (SELECT retention_until(p_now, p_days)) LIMIT p_limit
$$;
-- Sessions are taken for five days after they began (src/event/session.c).
CREATE FUNCTION retention_due_session_states(p_now timestamptz, p_limit int) RETURNS SETOF tid LANGUAGE sql STABLE AS $$
    SELECT s.ctid FROM session_states s WHERE s.updated_at < p_now - interval '6 days' LIMIT p_limit
$$;
CREATE FUNCTION retention_due_report_ids(p_now timestamptz, p_limit int) RETURNS SETOF tid LANGUAGE sql STABLE AS $$
    SELECT r.ctid FROM report_ids r WHERE r.id < uuid7_floor(p_now - interval '8 days') ORDER BY r.id LIMIT p_limit
$$;

-- Some rows of each at a call. Those of `others` are notes of batches and records, and hourly counts of issues. It holds no counters. The functions that
-- it replaces (0005, 0012, 0016) stay for the release before.
CREATE FUNCTION retention_tidied(p_now timestamptz, p_days int, p_limit int)
RETURNS TABLE (n_feedback bigint, n_check_ins bigint, n_outcomes bigint, n_sessions bigint, n_others bigint)
LANGUAGE plpgsql SET jit = off AS $$
DECLARE
    v_gone bigint;
BEGIN
    DELETE FROM feedback WHERE ctid IN (SELECT d.place FROM retention_due_feedback(p_now, p_days, p_limit) d(place));
    GET DIAGNOSTICS n_feedback = ROW_COUNT;
    DELETE FROM check_ins WHERE ctid IN (SELECT d.place FROM retention_due_check_ins(p_now, p_days, p_limit) d(place));
    GET DIAGNOSTICS n_check_ins = ROW_COUNT;
    DELETE FROM monitor_leavings l
     WHERE NOT EXISTS (SELECT FROM check_ins c WHERE c.project_id = l.project_id AND c.environment_id = l.environment_id);

    DELETE FROM outcomes WHERE ctid IN (SELECT d.place FROM retention_due_outcomes(p_now, p_days, p_limit) d(place));
    GET DIAGNOSTICS n_outcomes = ROW_COUNT;
    DELETE FROM outcome_cases WHERE ctid IN (SELECT d.place FROM retention_due_outcome_cases(p_limit) d(place));
    GET DIAGNOSTICS v_gone = ROW_COUNT;
    n_outcomes := n_outcomes + v_gone;

    DELETE FROM release_hours WHERE ctid IN (SELECT d.place FROM retention_due_release_hours(p_now, p_days, p_limit) d(place));
    GET DIAGNOSTICS n_sessions = ROW_COUNT;
    DELETE FROM release_users WHERE ctid IN (SELECT d.place FROM retention_due_release_users(p_now, p_days, p_limit) d(place));
    GET DIAGNOSTICS v_gone = ROW_COUNT;
    n_sessions := n_sessions + v_gone;
    DELETE FROM session_states WHERE ctid IN (SELECT d.place FROM retention_due_session_states(p_now, p_limit) d(place));
    GET DIAGNOSTICS v_gone = ROW_COUNT;
    n_sessions := n_sessions + v_gone;

    DELETE FROM report_ids WHERE ctid IN (SELECT d.place FROM retention_due_report_ids(p_now, p_limit) d(place));
    GET DIAGNOSTICS v_gone = ROW_COUNT;
    n_others := v_gone + retention_tidy(p_now, p_days, p_limit);
    RETURN NEXT;
END $$;

-- What tidying would take away, all of it; with dead letters, and what lies beside the days (retention_tidy_strays) among the others.
CREATE FUNCTION retention_tidy_preview(p_now timestamptz, p_days int, p_letter_days int)
RETURNS TABLE (n_feedback bigint, n_check_ins bigint, n_outcomes bigint, n_sessions bigint, n_others bigint, n_dead_letters bigint)
LANGUAGE sql STABLE SET jit = off AS $$
    SELECT (SELECT count(*) FROM retention_due_feedback(p_now, p_days, NULL)),
           (SELECT count(*) FROM retention_due_check_ins(p_now, p_days, NULL)),
           (SELECT count(*) FROM retention_due_outcomes(p_now, p_days, NULL)) + (SELECT count(*) FROM retention_due_outcome_cases(NULL)),
           (SELECT count(*) FROM retention_due_release_hours(p_now, p_days, NULL)) + (SELECT count(*) FROM retention_due_release_users(p_now, p_days, NULL))
               + (SELECT count(*) FROM retention_due_session_states(p_now, NULL)),
           (SELECT count(*) FROM retention_due_report_ids(p_now, NULL))
               + (SELECT count(*) FROM digest_batches b WHERE b.digested_at < p_now - interval '30 days')
               + (SELECT count(*) FROM issue_hours h WHERE h.hour < (SELECT retention_until(p_now, p_days)))
               + (SELECT count(*) FROM events_default e WHERE e.received_at < (SELECT retention_until(p_now, p_days))),
           (SELECT count(*) FROM dead_letters d
             WHERE d.first_failed_at < p_now - make_interval(days => p_letter_days)
               AND dead_letter_may_go(d.status, d.marked_at, greatest(d.stored_at, d.dropped_at), p_now))
$$;
