-- Functions of retention (0003) that were mended: a day whose swap never came stays due, and a swap takes its own run's copy only, which bears its
-- horizon as a comment: a run that lost its connection lost its lock, and what lies there may be another's.

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
                        WHERE p.day = d.day AND p.rows + p.dropping > 0 AND p.day < r.first_day - 7) AS overdue
          FROM days d)
    SELECT s.day, greatest(s.due_stage, s.stage)::smallint, s.day < k.first_day
      FROM staged s CROSS JOIN keep k
     WHERE s.due_stage > 0
       AND (s.day < k.first_day OR s.due_stage > s.stage OR s.orphans > 0 OR s.overdue OR s.late * 10 >= greatest(s.rows, 1))
     ORDER BY s.day
$$;

CREATE OR REPLACE FUNCTION retention_copy(p_day date, p_stage smallint, p_drops boolean, p_horizon bigint, p_now timestamptz, p_days int, p_per_issue int)
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

CREATE OR REPLACE FUNCTION retention_swap(p_day date, p_stage smallint, p_horizon bigint, p_lock_ms int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_old   text := 'events_' || to_char(p_day, 'YYYYMMDD');
    v_new   text := v_old || '_new';
    v_late  bigint;
    v_empty boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('picket.retention'));
    PERFORM set_config('lock_timeout', p_lock_ms::text, true);
    LOCK TABLE events IN ACCESS EXCLUSIVE MODE;
    -- a run that lost its connection lost its lock, too: what lies there may be another's
    IF obj_description(v_new::regclass) IS DISTINCT FROM p_horizon::text THEN
        RAISE 'the copy of % is of another run', p_day;
    END IF;
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
