-- Events of a day without a partition, which a clock some days off makes, go to events_default, and then the day could never have one (0001, 0023): what came on
-- it came to lie there, too, where nothing cools and retention takes rows one by one. Now they are put where they belong, and events_default is empty again:
--
--   few   are moved by strays_heal(), which the digest calls every minute: lock, tables, rows, attach, in one transaction; some days at a call, today first, for
--         it grows
--   many  (strays_small) are retention's, as a day of stage -1: strays_copy() copies all into tables of their days while everybody goes on, round after round
--         until few are left; strays_swap() takes over those under the lock and puts an empty default partition in the place of the old one
--
-- The lock is events, then events_default, in the order in which others take them. It is not asked for while a long transaction (pg_dump) has either, and waited
-- for for 200 ms altogether. Behind it no row is on its way to the default partition, and nobody has read which partitions there are and waits to read the rows. A
-- row keeps its ids and its batch: cursors, attachments, erasures and counters know nothing else of it, and a copy that is sent again meets its id in its day.
-- Erasures look through tables that they have listed: nothing is moved while retention runs but by retention, behind that look.

-- Which days there are costs a probe for each, and a day is found among others.
CREATE INDEX events_default_id ON events_default (id);

CREATE FUNCTION uuid7_day(id uuid) RETURNS date LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ -- in UTC
    SELECT '1970-01-01'::date + (('x0000' || left(replace(id::text, '-', ''), 12))::bit(64)::bigint / 86400000)::int
$$;
CREATE FUNCTION uuid7_midnight(day date) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT uuid7_floor(day::timestamp AT TIME ZONE 'UTC')
$$;
CREATE FUNCTION events_day(day date) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT 'events_' || to_char(day, 'YYYYMMDD')
$$;

-- What may be moved under the lock: 20,000 rows or 32 MB take 0.2 to 0.3 s of a busy core.
CREATE FUNCTION strays_small(p_rows bigint, p_bytes bigint) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT p_rows <= 20000 AND p_bytes <= 32 << 20
$$;

-- The days of events_default, counted no further than matters; small: not retention's. A few rows are, too, where many are or were beside them: who attaches a
-- partition reads all of events_default under the lock. What is dated behind the year 9999 stays: such days have no names.
CREATE FUNCTION strays_days() RETURNS TABLE (day date, rows bigint, bytes bigint, small boolean) LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_from uuid := uuid7_midnight('1970-01-01');
    v_id   uuid;
BEGIN
    LOOP
        SELECT e.id INTO v_id FROM events_default e WHERE e.id >= v_from ORDER BY e.id LIMIT 1;
        EXIT WHEN v_id IS NULL;
        day := uuid7_day(v_id);
        EXIT WHEN day > '9999-12-31';
        v_from := uuid7_midnight(day + 1);
        SELECT count(*), coalesce(sum(octet_length(c.payload)), 0) INTO rows, bytes
          FROM (SELECT e.payload FROM events_default e WHERE e.id >= v_id AND e.id < v_from ORDER BY e.id LIMIT 20001) c;
        small := strays_small(rows, bytes) AND pg_relation_size('events_default') <= 64 << 20;
        RETURN NEXT;
    END LOOP;
END $$;

-- SQLSTATE 55P03: try again.
CREATE FUNCTION events_lock(p_lock_ms int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_held  text[];
    v_began timestamptz;
BEGIN
    FOR i IN 0 .. 10 LOOP
        SELECT array_agg(DISTINCT l.virtualtransaction) INTO v_held
          FROM pg_locks l
         WHERE l.locktype = 'relation' AND l.relation IN ('events'::regclass, 'events_default'::regclass) AND l.granted AND l.pid <> pg_backend_pid()
           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND (i = 0 OR l.virtualtransaction = ANY (v_held));
        EXIT WHEN v_held IS NULL;
        IF i = 10 THEN
            RAISE 'events is in use by a long transaction' USING ERRCODE = 'lock_not_available';
        END IF;
        PERFORM pg_sleep(p_lock_ms / 10000.0);
    END LOOP;
    v_began := clock_timestamp();
    PERFORM set_config('lock_timeout', p_lock_ms::text, true);
    LOCK TABLE ONLY events IN ACCESS EXCLUSIVE MODE;
    PERFORM set_config('lock_timeout', greatest(1, p_lock_ms - extract(epoch FROM clock_timestamp() - v_began) * 1000)::int::text, true);
    LOCK TABLE ONLY events_default IN ACCESS EXCLUSIVE MODE;
END $$;

-- ---- few

-- again: there is more to do, or it could not be done now.
CREATE FUNCTION strays_heal() RETURNS TABLE (days int, events bigint, again boolean) LANGUAGE plpgsql AS $$
DECLARE
    DAYS_MAX CONSTANT int := 8;
    LOCK_MS  CONSTANT int := 200;
    v_days   date[] := '{}';
    v_bytes  bigint := 0;
    v_day    date;
    v_moved  bigint;
    d        record;
BEGIN
    days := 0;
    events := 0;
    again := false;
    FOR d IN SELECT s.* FROM strays_days() s WHERE s.small ORDER BY s.day = (now() AT TIME ZONE 'UTC')::date DESC, s.day LOOP
        again := cardinality(v_days) = DAYS_MAX OR NOT strays_small(events + d.rows, v_bytes + d.bytes);
        EXIT WHEN again;
        v_days := v_days || d.day;
        events := events + d.rows;
        v_bytes := v_bytes + d.bytes;
    END LOOP;
    events := 0;
    IF v_days = '{}' THEN
        RETURN NEXT;
        RETURN;
    END IF;
    BEGIN
        IF NOT (pg_try_advisory_xact_lock(hashtext('picket.retention.run')) AND pg_try_advisory_xact_lock(hashtext('picket.partitions'))) THEN
            RAISE lock_not_available;
        END IF;
        PERFORM events_lock(LOCK_MS);
    EXCEPTION WHEN lock_not_available THEN
        again := true;
        RETURN NEXT;
        RETURN;
    END;
    FOREACH v_day IN ARRAY v_days LOOP
        CONTINUE WHEN to_regclass(events_day(v_day)) IS NOT NULL;
        EXECUTE format('CREATE TABLE %I (LIKE events INCLUDING DEFAULTS INCLUDING STORAGE)', events_day(v_day));
        EXECUTE format('WITH gone AS (DELETE FROM events_default e WHERE e.id >= %L AND e.id < %L RETURNING *) INSERT INTO %I SELECT * FROM gone ORDER BY id',
                       uuid7_midnight(v_day), uuid7_midnight(v_day + 1), events_day(v_day));
        GET DIAGNOSTICS v_moved = ROW_COUNT;
        EXECUTE format('CREATE UNIQUE INDEX %I ON %I (project_id, event_id)', events_day(v_day) || '_event_id', events_day(v_day));
        EXECUTE format('ALTER TABLE events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', events_day(v_day), uuid7_midnight(v_day), uuid7_midnight(v_day + 1));
        days := days + 1;
        events := events + v_moved;
    END LOOP;
    RETURN NEXT;
END $$;

-- ---- many

-- For retention_due(): the first of those days stands for all.
CREATE FUNCTION strays_due() RETURNS TABLE (day date, stage smallint, drops boolean) LANGUAGE sql STABLE AS $$
    SELECT min(d.day), (-1)::smallint, false FROM strays_days() d HAVING bool_or(NOT d.small)
$$;

-- Rows of the batches above p_above up to p_until into the tables of p_days, and those of other days into the new default partition: how many. Of few batches all
-- are read first (OFFSET 0), by the index that knows batches.
CREATE FUNCTION strays_take(p_days date[], p_above bigint, p_until bigint) RETURNS bigint LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $$
DECLARE
    v_from text := format('(SELECT * FROM events_default WHERE batch_id > %s AND batch_id <= %s%s) e', p_above, p_until, CASE WHEN p_above >= 0 THEN ' OFFSET 0' END);
    v_all  bigint := 0;
    v_some bigint;
    v_day  date;
BEGIN
    FOREACH v_day IN ARRAY p_days LOOP
        EXECUTE format('INSERT INTO %I SELECT * FROM %s WHERE e.id >= %L AND e.id < %L ORDER BY e.id', events_day(v_day) || '_new', v_from, uuid7_midnight(v_day),
                       uuid7_midnight(v_day + 1));
        GET DIAGNOSTICS v_some = ROW_COUNT;
        v_all := v_all + v_some;
    END LOOP;
    EXECUTE format('INSERT INTO events_default_new SELECT * FROM %s WHERE uuid7_day(e.id) <> ALL ($1)', v_from) USING p_days;
    GET DIAGNOSTICS v_some = ROW_COUNT;
    RETURN v_all + v_some;
END $$;

CREATE FUNCTION strays_index(p_table text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %I ADD PRIMARY KEY (project_id, id)', p_table);
    EXECUTE format('CREATE INDEX ON %I (project_id, grouping_id, id)', p_table);
    EXECUTE format('CREATE INDEX ON %I USING brin (batch_id) WITH (pages_per_range = 16, autosummarize = off)', p_table);
    EXECUTE format('CREATE UNIQUE INDEX ON %I (project_id, event_id)', p_table);
    EXECUTE format('ANALYZE %I', p_table);
END $$;

-- Columns as of retention_copy(). What was copied for which days, and up to which batch, is said by a comment on the new default partition.
CREATE FUNCTION strays_copy(p_horizon bigint) RETURNS TABLE (rows bigint, bytes bigint, dropped_rows bigint, dropped_bytes bigint, is_made boolean) LANGUAGE plpgsql AS $$
DECLARE
    DAYS_MAX   CONSTANT int := 16; -- each costs some milliseconds under the lock
    ROUNDS_MAX CONSTANT int := 20;
    LATE_FEW   CONSTANT int := 2000;
    v_until    bigint := p_horizon;
    v_next     bigint;
    v_at       timestamptz;
    v_late     bigint;
    v_days     date[];
    v_name     text;
    v_day      date;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('picket.retention'));
    FOR v_name IN SELECT c.relname FROM pg_class c WHERE c.relnamespace = (SELECT n.relnamespace FROM pg_class n WHERE n.oid = 'events'::regclass)
                     AND c.relkind = 'r' AND c.relname ~ '^events_(\d{8}|default)_new$' LOOP
        EXECUTE format('DROP TABLE %I', v_name); -- of runs that were cut
    END LOOP;
    SELECT array_agg(d.day) INTO v_days FROM (SELECT s.day FROM strays_days() s ORDER BY s.rows DESC, s.day LIMIT DAYS_MAX) d;
    is_made := v_days IS NOT NULL;
    rows := 0;
    bytes := 0;
    dropped_rows := 0;
    dropped_bytes := 0;
    IF NOT is_made THEN
        RETURN NEXT;
        RETURN;
    END IF;
    -- a vacuum of what was just written would be in the way of the swap, which waits less than it takes to be cancelled
    CREATE TABLE events_default_new (LIKE events INCLUDING DEFAULTS INCLUDING STORAGE) WITH (autovacuum_enabled = off);
    FOREACH v_day IN ARRAY v_days LOOP
        EXECUTE format('CREATE TABLE %I (LIKE events INCLUDING DEFAULTS INCLUDING STORAGE, CONSTRAINT bound CHECK (id >= %L AND id < %L)) WITH (autovacuum_enabled = off)',
                       events_day(v_day) || '_new', uuid7_midnight(v_day), uuid7_midnight(v_day + 1));
    END LOOP;
    rows := strays_take(v_days, -1, p_horizon);
    bytes := pg_relation_size('events_default');
    FOREACH v_day IN ARRAY v_days LOOP
        PERFORM strays_index(events_day(v_day) || '_new');
    END LOOP;
    PERFORM strays_index('events_default_new');
    CREATE INDEX ON events_default_new (id);
    PERFORM brin_summarize_new_values(x.indexrelid) FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid JOIN pg_am a ON a.oid = c.relam
      WHERE x.indrelid = 'events_default'::regclass AND a.amname = 'brin';

    -- what came meanwhile, until it is little: the horizon moves as in src/digest/retention.c
    FOR i IN 1 .. ROUNDS_MAX LOOP
        SELECT b.horizon, b.at INTO v_next, v_at FROM retention_begin() b;
        FOR j IN 1 .. 100 LOOP
            PERFORM pg_stat_clear_snapshot();
            EXIT WHEN retention_quiet(v_at);
            PERFORM pg_sleep(0.1);
        END LOOP;
        EXIT WHEN NOT retention_quiet(v_at);
        v_late := strays_take(v_days, v_until, v_next);
        rows := rows + v_late;
        v_until := v_next;
        EXIT WHEN v_late < LATE_FEW;
    END LOOP;
    EXECUTE format('COMMENT ON TABLE events_default_new IS %L', jsonb_build_object('horizon', p_horizon, 'until', v_until, 'days', v_days));
    RETURN NEXT;
END $$;

-- As retention_swap(), but for the place: returns what came after the copy. SQLSTATE 55P03: try again.
CREATE FUNCTION strays_swap(p_horizon bigint, p_lock_ms int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_copy jsonb;
    v_days date[];
    v_late bigint;
    v_day  date;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('picket.retention'));
    PERFORM pg_advisory_xact_lock(hashtext('picket.partitions'));
    PERFORM events_lock(p_lock_ms);
    v_copy := obj_description(to_regclass('events_default_new'), 'pg_class');
    IF v_copy->>'horizon' IS DISTINCT FROM p_horizon::text THEN -- a run that lost its connection lost its lock, too
        RAISE 'the copy of events_default is of another run';
    END IF;
    v_days := ARRAY(SELECT d::date FROM jsonb_array_elements_text(v_copy->'days') d);
    v_late := strays_take(v_days, (v_copy->>'until')::bigint, 9223372036854775807);
    ALTER TABLE events DETACH PARTITION events_default;
    DROP TABLE events_default;
    FOREACH v_day IN ARRAY v_days LOOP
        EXECUTE format('ALTER TABLE %I RENAME TO %I', events_day(v_day) || '_new', events_day(v_day));
        EXECUTE format('ALTER TABLE events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', events_day(v_day), uuid7_midnight(v_day), uuid7_midnight(v_day + 1));
        EXECUTE format('ALTER TABLE %I DROP CONSTRAINT bound, RESET (autovacuum_enabled)', events_day(v_day));
    END LOOP;
    ALTER TABLE events_default_new RENAME TO events_default;
    ALTER TABLE events_default RESET (autovacuum_enabled);
    COMMENT ON TABLE events_default IS NULL;
    ALTER TABLE events ATTACH PARTITION events_default DEFAULT;
    RETURN v_late;
END $$;
