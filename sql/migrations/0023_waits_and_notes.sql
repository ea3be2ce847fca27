-- What a record that is no event was stored by is forgotten 8 days after its receipt, and a backlog may be older than that: its notes were due at once, and
-- where the answer to a COMMIT was lost just then, the second try counted the records again. So a note stays a day after it was made, too.
ALTER TABLE report_ids ADD COLUMN noted_at timestamptz NOT NULL DEFAULT now();

CREATE OR REPLACE FUNCTION retention_due_report_ids(p_now timestamptz, p_limit int) RETURNS SETOF tid LANGUAGE sql STABLE AS $$
    SELECT r.ctid FROM report_ids r WHERE r.id < uuid7_floor(p_now - interval '8 days') AND r.noted_at < p_now - interval '1 day' ORDER BY r.id LIMIT p_limit
$$;

-- ---- a partition is no reason to wait

-- As in 0001, but ATTACH wants events_default for itself and stood in line behind whatever reads events, a pg_dump over midnight say, while everybody's events
-- stood in line behind it. It waits for a moment now. A day that is still to come is tried again by the next upkeep; one that is there already is
-- wanted at once: its rows would go to the default partition, and then it never gets its own.
CREATE OR REPLACE FUNCTION ensure_partitions(at timestamptz, days_back int, days_ahead int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    LOCK_MS CONSTANT text := '200';
    made    int := 0;
    today   date := (at AT TIME ZONE 'UTC')::date;
    d       date;
    name    text;
    lo      uuid;
    hi      uuid;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('picket.partitions'));
    PERFORM set_config('lock_timeout', LOCK_MS, true);
    FOR d IN SELECT today + i FROM generate_series(-days_back, days_ahead) i LOOP
        name := 'events_' || to_char(d, 'YYYYMMDD');
        CONTINUE WHEN to_regclass(name) IS NOT NULL;
        lo := uuid7_floor(d::timestamp AT TIME ZONE 'UTC');
        hi := uuid7_floor((d + 1)::timestamp AT TIME ZONE 'UTC');
        CONTINUE WHEN EXISTS (SELECT 1 FROM events_default e WHERE e.id >= lo AND e.id < hi);
        BEGIN
            EXECUTE format('CREATE TABLE %I (LIKE events INCLUDING DEFAULTS INCLUDING STORAGE)', name);
            EXECUTE format('CREATE UNIQUE INDEX %I ON %I (project_id, event_id)', name || '_event_id', name);
            EXECUTE format('ALTER TABLE events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, lo, hi);
            made := made + 1;
        EXCEPTION WHEN lock_not_available THEN
            IF d <= today THEN
                RAISE;
            END IF;
            EXIT; -- the days after it would wait as long
        END;
    END LOOP;
    RETURN made;
END $$;
