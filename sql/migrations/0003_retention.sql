-- Retention: what is kept of the events, and for how long. Nothing is deleted in bulk: a day's partition is dropped when nobody keeps that day,
-- and rewritten when it has cooled (a day, a week, a month after its end): what is kept is copied into a new table, in the order in which
-- it is read, and the tables are swapped. Issues, their numbers and their counts of events ever seen stay.
--
-- Steps of one day, each a transaction of its own (src/digest/retention.c):
--   retention_begin   names a batch as the horizon, and the time
--   retention_quiet   true once every transaction of a Picket that was running then is over: no batch up to the horizon can commit any more
--   retention_copy    copies what is kept of the batches up to the horizon; takes as long as it takes, locks nothing that others want
--   retention_swap    under a lock that it waits for briefly: copies what came after the horizon (nearly always nothing), swaps, counts
-- A step that fails or is cut leaves at most a table events_<day>_new, which the next attempt removes.
ALTER TABLE projects
    ADD COLUMN retention_days int CHECK (retention_days BETWEEN 1 AND 36500), -- null: the installation's
    ADD COLUMN retention_events_per_issue int CHECK (retention_events_per_issue > 0), -- null: the installation's
    ADD COLUMN retention_bytes bigint CHECK (retention_bytes > 0); -- of events; null: no bound

-- Days that were looked at; a day without a row is hot.
CREATE TABLE event_days (
    day       date PRIMARY KEY,
    stage     smallint NOT NULL,                -- 1 after a day, 2 after a week, 3 after a month
    rows      bigint NOT NULL,
    bytes     bigint NOT NULL,
    cooled_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE event_day_projects (
    project_id int NOT NULL,                    -- no foreign key: what a deleted project left is what has to go
    day        date NOT NULL,
    rows       bigint NOT NULL,
    bytes      bigint NOT NULL,
    dropping   bigint NOT NULL DEFAULT 0,       -- rows that the next swap takes away
    PRIMARY KEY (project_id, day)
);

CREATE FUNCTION retention_days_list() RETURNS TABLE (day date, name text) LANGUAGE sql STABLE AS $$
    SELECT to_date(substr(c.relname, 8), 'YYYYMMDD'), c.relname::text
      FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = 'events'::regclass AND c.relname ~ '^events_\d{8}$'
$$;

-- Per project: the first day that is kept (by its days and by its bytes), and how many events of an issue.
CREATE FUNCTION retention_rules(p_now timestamptz, p_days int, p_per_issue int)
RETURNS TABLE (project_id int, first_day date, per_issue int) LANGUAGE sql STABLE AS $$
    SELECT p.id,
           greatest((p_now AT TIME ZONE 'UTC')::date - coalesce(p.retention_days, p_days), b.first_day),
           coalesce(p.retention_events_per_issue, nullif(p_per_issue, 0))
      FROM projects p
      LEFT JOIN LATERAL (
           SELECT max(s.day) + 1 AS first_day
             FROM (SELECT d.day, sum(d.bytes) OVER (ORDER BY d.day DESC) AS bytes FROM event_day_projects d WHERE d.project_id = p.id) s
            WHERE s.bytes > p.retention_bytes) b ON p.retention_bytes IS NOT NULL
$$;

-- Days with something to do, oldest first. A day is looked at when it has cooled, and between two stages when what may go is worth a rewrite:
-- rows of deleted projects at once, rows past their project's days or bytes when they are a tenth of the day or a week overdue.
CREATE FUNCTION retention_due(p_now timestamptz, p_days int, p_per_issue int)
RETURNS TABLE (day date, stage smallint, drops boolean) LANGUAGE sql STABLE AS $$
    WITH rules AS MATERIALIZED (SELECT * FROM retention_rules(p_now, p_days, p_per_issue)),
    keep AS (SELECT coalesce(min(r.first_day), (p_now AT TIME ZONE 'UTC')::date - p_days) AS first_day FROM rules r),
    days AS (
        SELECT l.day, (p_now AT TIME ZONE 'UTC')::date - l.day AS age, coalesce(e.stage, 0) AS stage, e.rows
          FROM retention_days_list() l LEFT JOIN event_days e ON e.day = l.day),
    staged AS (
        SELECT d.*, (CASE WHEN d.age >= 31 THEN 3 WHEN d.age >= 8 THEN 2 WHEN d.age >= 2 THEN 1 ELSE 0 END)::smallint AS due_stage,
               (SELECT sum(p.rows) FILTER (WHERE r.project_id IS NULL) FROM event_day_projects p
                  LEFT JOIN rules r ON r.project_id = p.project_id WHERE p.day = d.day) AS orphans,
               (SELECT sum(p.rows) FROM event_day_projects p JOIN rules r ON r.project_id = p.project_id
                 WHERE p.day = d.day AND p.day < r.first_day) AS late,
               EXISTS (SELECT FROM event_day_projects p JOIN rules r ON r.project_id = p.project_id
                        WHERE p.day = d.day AND p.rows > 0 AND p.day < r.first_day - 7) AS overdue
          FROM days d)
    SELECT s.day, greatest(s.due_stage, s.stage)::smallint, s.day < k.first_day
      FROM staged s CROSS JOIN keep k
     WHERE s.due_stage > 0
       AND (s.day < k.first_day OR s.due_stage > s.stage OR s.orphans > 0 OR s.overdue OR s.late * 10 >= greatest(s.rows, 1))
     ORDER BY s.day
$$;

-- By pg_stat_activity and not by transaction ids: a batch has its number before its transaction has an id.
CREATE FUNCTION retention_begin() RETURNS TABLE (horizon bigint, at timestamptz) LANGUAGE plpgsql AS $$
BEGIN
    SELECT last_value INTO horizon FROM digest_batch_id;
    at := clock_timestamp();
    RETURN NEXT;
END $$;
CREATE FUNCTION retention_quiet(p_at timestamptz) RETURNS boolean LANGUAGE sql AS $$
    SELECT NOT EXISTS (SELECT FROM pg_stat_activity
                        WHERE datname = current_database() AND application_name LIKE 'picket%' AND xact_start <= p_at AND pid <> pg_backend_pid())
$$;

-- Every row of the day up to the horizon, and whether it is kept. Of a noisy issue a day keeps its share of what the issue may keep, by the
-- events that it really had: the oldest, the newest, and the others evenly spread between. The share shrinks as more days come, which the later
-- stages see to.
CREATE FUNCTION retention_judged(p_day date, p_horizon bigint, p_now timestamptz, p_days int, p_per_issue int)
RETURNS TABLE (project_id int, id uuid, bytes int, keep boolean) LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY EXECUTE format($q$
        WITH rules AS MATERIALIZED (SELECT * FROM retention_rules($2, $3, $4)),
        listed AS (
            SELECT e.project_id, e.id, g.issue_id, octet_length(e.payload) + 250 AS bytes, r.project_id IS NOT NULL AND $1 >= r.first_day AS keep,
                   r.per_issue, row_number() OVER w AS rank, count(*) OVER (PARTITION BY e.project_id, g.issue_id) AS of
              FROM %I e
              LEFT JOIN rules r ON r.project_id = e.project_id
              LEFT JOIN groupings g ON g.project_id = e.project_id AND g.id = e.grouping_id
             WHERE e.batch_id <= $5
            WINDOW w AS (PARTITION BY e.project_id, g.issue_id ORDER BY e.id)),
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

-- What a copy would do, without doing it.
CREATE FUNCTION retention_preview(p_day date, p_horizon bigint, p_now timestamptz, p_days int, p_per_issue int)
RETURNS TABLE (rows bigint, bytes bigint, dropped_rows bigint, dropped_bytes bigint) LANGUAGE sql STABLE AS $$
    SELECT count(*), coalesce(sum(j.bytes), 0), count(*) FILTER (WHERE NOT j.keep), coalesce(sum(j.bytes) FILTER (WHERE NOT j.keep), 0)
      FROM retention_judged(p_day, p_horizon, p_now, p_days, p_per_issue) j
$$;

-- The new table, without a swap yet. When everything is kept there is none, and the day is done; one that nobody keeps goes even if it is empty.
CREATE FUNCTION retention_copy(p_day date, p_stage smallint, p_drops boolean, p_horizon bigint, p_now timestamptz, p_days int, p_per_issue int)
RETURNS TABLE (rows bigint, bytes bigint, dropped_rows bigint, dropped_bytes bigint) LANGUAGE plpgsql AS $$
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
    DELETE FROM event_day_projects d WHERE d.day = p_day;
    INSERT INTO event_day_projects (project_id, day, rows, bytes, dropping)
    SELECT j.project_id, p_day, count(*) FILTER (WHERE j.keep), coalesce(sum(j.bytes) FILTER (WHERE j.keep), 0), count(*) FILTER (WHERE NOT j.keep)
      FROM retention_rows j GROUP BY j.project_id;
    IF dropped_rows = 0 AND NOT (p_drops AND rows = 0) THEN
        INSERT INTO event_days AS d VALUES (p_day, p_stage, rows, bytes)
            ON CONFLICT (day) DO UPDATE SET stage = excluded.stage, rows = excluded.rows, bytes = excluded.bytes, cooled_at = now();
    ELSE
        EXECUTE format('CREATE TABLE %I (LIKE events INCLUDING DEFAULTS INCLUDING STORAGE)', v_new);
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

-- Waits p_lock_ms for the lock and no longer: who stands behind it in line waits as long. SQLSTATE 55P03: try again.
CREATE FUNCTION retention_swap(p_day date, p_stage smallint, p_horizon bigint, p_lock_ms int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_old   text := 'events_' || to_char(p_day, 'YYYYMMDD');
    v_new   text := v_old || '_new';
    v_late  bigint;
    v_empty boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('picket.retention'));
    PERFORM set_config('lock_timeout', p_lock_ms::text, true);
    LOCK TABLE events IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('INSERT INTO %I SELECT * FROM %I WHERE batch_id > $1', v_new, v_old) USING p_horizon;
    GET DIAGNOSTICS v_late = ROW_COUNT;
    EXECUTE format('ALTER TABLE events DETACH PARTITION %I', v_old);
    EXECUTE format('DROP TABLE %I', v_old);
    EXECUTE format('SELECT NOT EXISTS (SELECT FROM %I)', v_new) INTO v_empty;
    IF v_empty THEN
        EXECUTE format('DROP TABLE %I', v_new);
        DELETE FROM event_days d WHERE d.day = p_day;
    ELSE
        EXECUTE format('ALTER TABLE %I RENAME TO %I', v_new, v_old);
        EXECUTE format('ALTER TABLE events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', v_old,
                       uuid7_floor(p_day::timestamp AT TIME ZONE 'UTC'), uuid7_floor((p_day + 1)::timestamp AT TIME ZONE 'UTC'));
        EXECUTE format('ALTER TABLE %I DROP CONSTRAINT bound', v_old);
        INSERT INTO event_days AS d
        SELECT p_day, p_stage, coalesce(sum(p.rows), 0) + v_late, coalesce(sum(p.bytes), 0) FROM event_day_projects p WHERE p.day = p_day
            ON CONFLICT (day) DO UPDATE SET stage = excluded.stage, rows = excluded.rows, bytes = excluded.bytes, cooled_at = now();
    END IF;
    UPDATE project_counters c SET stored = c.stored - d.dropping FROM event_day_projects d WHERE d.day = p_day AND c.project_id = d.project_id;
    DELETE FROM event_day_projects d WHERE d.day = p_day AND (v_empty OR d.rows = 0);
    UPDATE event_day_projects d SET dropping = 0 WHERE d.day = p_day;
    RETURN v_late;
END $$;

-- Small things that grow with time, some rows at a call: true while there may be more.
CREATE INDEX issue_hours_hour ON issue_hours USING brin (hour) WITH (pages_per_range = 16, autosummarize = on);
CREATE FUNCTION retention_tidy(p_now timestamptz, p_days int, p_limit int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_all   bigint := 0;
    v_gone  bigint;
    v_until timestamptz;
BEGIN
    SELECT date_trunc('day', p_now, 'UTC') - make_interval(days => greatest(p_days, coalesce(max(retention_days), 0))) INTO v_until FROM projects;

    DELETE FROM digest_batches b
     WHERE b.id IN (SELECT o.id FROM (SELECT id, digested_at FROM digest_batches ORDER BY id LIMIT p_limit) o
                     WHERE o.digested_at < p_now - interval '30 days');
    GET DIAGNOSTICS v_gone = ROW_COUNT;
    v_all := v_all + v_gone;

    DELETE FROM issue_hours h USING (SELECT project_id, issue_id, hour FROM issue_hours WHERE hour < v_until LIMIT p_limit) o
     WHERE h.project_id = o.project_id AND h.issue_id = o.issue_id AND h.hour = o.hour;
    GET DIAGNOSTICS v_gone = ROW_COUNT;
    v_all := v_all + v_gone;

    -- what a jumping clock put beside the days
    WITH gone AS (
        DELETE FROM events_default e USING (SELECT project_id, id FROM events_default WHERE received_at < v_until LIMIT p_limit) o
         WHERE e.project_id = o.project_id AND e.id = o.id RETURNING e.project_id),
    counted AS (
        UPDATE project_counters c SET stored = c.stored - g.n FROM (SELECT project_id, count(*) AS n FROM gone GROUP BY project_id) g
         WHERE c.project_id = g.project_id)
    SELECT count(*) INTO v_gone FROM gone;
    RETURN v_all + v_gone;
END $$;
