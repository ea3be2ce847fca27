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
