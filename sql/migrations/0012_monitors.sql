-- Cron monitors (protocol §7.2): what is expected of them, their check-ins, and what becomes of those that fail.
--
-- Check-ins come like sessions, once by the ids of their records (0005). What one means depends on those before it, so they are stored one by one,
-- in the order of their receipt; another order of delivery ends in the same rows: starts and receipts are merged by least and greatest, streaks are
-- counted from the rows, and what is of no monitor waits for one that may be behind it. (Only ends without an id that come at the same moment as
-- others find their runs by the order of storing.) Statements of one project wait for each other (digest_reports), so only monitor_tick runs beside them: it takes the rows of
-- monitor_environments that nobody has and waits for none.
--
-- Times. The next run is computed here, because the time zones are here: src/event/crontab.c reads an expression as sets, monitor_next finds the
-- next minute in them. A check-in expects the next one after its receipt, whatever its status; a missed run the one after it by the schedule.
--
-- What is missed or ran out of time is noticed by monitor_tick, every few seconds in each server (src/digest/monitors.c), under two rules:
--   * nothing is judged that is later than what is stored: each server says until when all that it took is in the database (heard_until), and
--     the least of them counts. A long spool, or a database that was away, makes it late and never wrong.
--   * nothing is held against a monitor for a time when no server listened: when one begins (or wakes up) after all were silent, runs that were
--     due in the silence are forgotten, and those that were under way end as unknown instead of timed out.
--
-- Failures. failure threshold: that many failed check-ins in a row open an incident; each failed one while it is open becomes an event
-- (monitor_events), which a server takes through its own spool like one that was sent, under ids that are fixed here: it is stored once. recovery
-- threshold: that many good ones in a row close the incident, and its issue is resolved once the events are there.

CREATE TABLE monitors (
    project_id int NOT NULL REFERENCES projects ON DELETE CASCADE,
    id         bigint GENERATED ALWAYS AS IDENTITY,
    slug       text NOT NULL,
    name       text NOT NULL,
    config     jsonb NOT NULL,                  -- as src/event/check_in.c writes it
    created_at timestamptz NOT NULL,            -- receipt of the first check-in
    updated_at timestamptz NOT NULL,            -- receipt of the configuration
    PRIMARY KEY (project_id, id),
    CONSTRAINT monitors_slug_key UNIQUE (project_id, slug)
);

CREATE TABLE monitor_environments (
    project_id       int NOT NULL,
    monitor_id       bigint NOT NULL,
    id               bigint GENERATED ALWAYS AS IDENTITY,
    name             text NOT NULL,
    status           text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'ok', 'error', 'missed', 'timeout')), -- of the last that ended
    last_check_in_at timestamptz,               -- the newest receipt
    next_expected_at timestamptz,               -- null: never
    next_latest_at   timestamptz,               -- the same with the margin
    failures         int NOT NULL DEFAULT 0,    -- in a row; counted up to 720
    incident_at      timestamptz,               -- start of the check-in that opened it; null: none is open
    resolve_at       timestamptz,               -- recovered, and the issue is to be resolved
    event_row        uuid,                      -- events.id of the last one that was made
    minute           timestamptz,               -- of the newest check-ins, and how many came in it
    minute_count     int NOT NULL DEFAULT 0,
    PRIMARY KEY (project_id, id),
    CONSTRAINT monitor_environments_name_key UNIQUE (project_id, monitor_id, name),
    FOREIGN KEY (project_id, monitor_id) REFERENCES monitors ON DELETE CASCADE
) WITH (fillfactor = 70);
CREATE INDEX monitor_environments_latest ON monitor_environments (next_latest_at);
CREATE INDEX monitor_environments_resolve ON monitor_environments (resolve_at) WHERE resolve_at IS NOT NULL;

CREATE TABLE check_ins (
    project_id     int NOT NULL,                -- no foreign keys: what is left of a deleted monitor goes with the tidying
    id             uuid NOT NULL,               -- UUIDv7: of the record that made it; of a missed one: of the time when it was expected
    monitor_id     bigint NOT NULL,
    environment_id bigint NOT NULL,
    check_in_id    uuid,                        -- the SDK's; null: it had none
    status         text NOT NULL CHECK (status IN ('in_progress', 'ok', 'error', 'missed', 'timeout', 'unknown')),
    verdict        smallint NOT NULL GENERATED ALWAYS AS (CASE WHEN status = 'ok' THEN 1 WHEN status IN ('in_progress', 'unknown') THEN 0 ELSE -1 END) STORED,
    started_at     timestamptz NOT NULL,        -- the earliest that is known of: the order of check-ins
    expected_at    timestamptz,
    ended_at       timestamptz,                 -- receipt of what ended it
    timeout_at     timestamptz,                 -- of one that runs, or ran out of time
    duration_ms    bigint,
    duration_said  boolean NOT NULL DEFAULT false, -- by the client; else it is ended_at - started_at
    opened         boolean NOT NULL,            -- an in_progress of it was seen
    heard          boolean NOT NULL DEFAULT true, -- false: there was a silence while it ran
    release        text NOT NULL DEFAULT '',
    trace_id       uuid,
    event_id       uuid,                        -- of the event that was made of it
    PRIMARY KEY (project_id, id)
);
CREATE UNIQUE INDEX check_ins_sdk ON check_ins (project_id, check_in_id);
CREATE INDEX check_ins_monitor ON check_ins (project_id, monitor_id, started_at DESC, id DESC);
CREATE INDEX check_ins_verdict ON check_ins (project_id, environment_id, verdict, started_at, id);
CREATE INDEX check_ins_timeout ON check_ins (timeout_at) WHERE status = 'in_progress';

-- Check-ins of a monitor that is not there, until all that was sent before them is stored: what would make it may be on its way.
CREATE TABLE monitor_waiting (
    project_id  int NOT NULL REFERENCES projects ON DELETE CASCADE,
    id          uuid NOT NULL,                  -- of the record
    slug        text NOT NULL,
    received_at timestamptz NOT NULL,
    key_id      bigint NOT NULL,
    check_in    jsonb NOT NULL,
    PRIMARY KEY (project_id, id)
);
CREATE INDEX monitor_waiting_slug ON monitor_waiting (project_id, slug, received_at, id);
CREATE INDEX monitor_waiting_age ON monitor_waiting (received_at);

-- Environments that are gone and may have check-ins left.
CREATE TABLE monitor_leavings (
    project_id     int NOT NULL,
    environment_id bigint NOT NULL,
    PRIMARY KEY (project_id, environment_id)
);
CREATE FUNCTION monitor_environments_leave() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO monitor_leavings VALUES (OLD.project_id, OLD.id);
    RETURN NULL;
END $$;
CREATE TRIGGER monitor_environments_leave AFTER DELETE ON monitor_environments FOR EACH ROW EXECUTE FUNCTION monitor_environments_leave();

-- Events that were made here and are not in a spool yet.
CREATE TABLE monitor_events (
    project_id  int NOT NULL REFERENCES projects ON DELETE CASCADE,
    id          uuid NOT NULL,                  -- of the spool record, and so of the row in events
    event_id    uuid NOT NULL,
    made_at     timestamptz NOT NULL,
    payload     text NOT NULL,
    taken_until timestamptz NOT NULL DEFAULT '-infinity', -- a server has it until then
    PRIMARY KEY (project_id, id)
);

-- Servers that tick. One that is silent for five minutes is not waited for.
CREATE TABLE monitor_servers (
    node        uuid PRIMARY KEY,               -- of its spool
    since       timestamptz NOT NULL,           -- listening without a break
    seen_at     timestamptz NOT NULL,
    heard_until timestamptz NOT NULL            -- all that it took until then is stored
);

-- ---- schedules

CREATE FUNCTION monitor_zone_known(p_zone text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    PERFORM now() AT TIME ZONE p_zone;
    RETURN true;
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN false;
END $$;

CREATE FUNCTION monitor_offset(p_at timestamptz, p_zone text) RETURNS interval LANGUAGE sql STABLE AS $$
    SELECT (p_at AT TIME ZONE p_zone) - (p_at AT TIME ZONE 'UTC')
$$;

CREATE FUNCTION monitor_bit(p_set bigint, p_n double precision) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT p_set >> p_n::int & 1 = 1
$$;

-- The first run after p_after on a day when the clock is set, or may be: minute by minute. A schedule that follows the clock runs whenever the
-- clock shows its minutes. One of fixed times runs once a day: what the clock skips runs when it has jumped, what it shows twice runs the first time.
CREATE FUNCTION monitor_next_on_odd_day(p_day date, p_after timestamptz, p_zone text, p_minutes bigint, p_hours bigint, p_follows_clock boolean)
RETURNS timestamptz LANGUAGE sql STABLE AS $$
    WITH minutes AS (
        SELECT m.at, m.at AT TIME ZONE p_zone AS local
          FROM generate_series((p_day::timestamp AT TIME ZONE p_zone) - interval '3 hours',
                               ((p_day + 1)::timestamp AT TIME ZONE p_zone) + interval '3 hours', interval '1 minute') m(at)),
    shown AS (
        SELECT m.at, m.local, coalesce(max(m.local) OVER (ORDER BY m.at ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
                                       m.local - interval '1 minute') AS before
          FROM minutes m)
    SELECT min(s.at)
      FROM shown s
     WHERE s.at > p_after
       AND CASE WHEN p_follows_clock OR s.local = s.before + interval '1 minute' THEN
                     s.local::date = p_day AND monitor_bit(p_hours, extract(hour FROM s.local)) AND monitor_bit(p_minutes, extract(minute FROM s.local))
                ELSE EXISTS (SELECT FROM generate_series(s.before + interval '1 minute', s.local, interval '1 minute') l(at)
                              WHERE l.at::date = p_day AND monitor_bit(p_hours, extract(hour FROM l.at))
                                AND monitor_bit(p_minutes, extract(minute FROM l.at)))
           END
$$;

-- The first run after p_after; null: there is none in eight years.
CREATE FUNCTION monitor_next(p_config jsonb, p_after timestamptz) RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_zone     text := p_config->>'timezone';
    v_local    timestamp := date_trunc('minute', p_after AT TIME ZONE v_zone);
    v_step     interval;
    v_minutes  bigint := p_config->>'minutes';
    v_hours    bigint := p_config->>'hours';
    v_days     bigint := p_config->>'days';
    v_months   bigint := p_config->>'months';
    v_weekdays bigint := p_config->>'weekdays';
    v_either   boolean := p_config->>'either_day';
    v_follows  boolean := p_config->>'follows_clock';
    v_day      date;
    v_from     timestamptz;
    v_to       timestamptz;
    v_next     timestamptz;
BEGIN
    IF p_config->>'type' = 'interval' THEN
        v_step := ((p_config->>'value') || ' ' || (p_config->>'unit'))::interval;
        RETURN CASE WHEN p_config->>'unit' IN ('minute', 'hour') THEN date_trunc('minute', p_after) + v_step
                    ELSE (v_local + v_step) AT TIME ZONE v_zone END;
    END IF;
    FOR i IN -1 .. 3000 LOOP -- from the day before: where clocks go back over midnight it comes again
        v_day := v_local::date + i;
        CONTINUE WHEN NOT monitor_bit(v_months, extract(month FROM v_day));
        CONTINUE WHEN v_either AND NOT (monitor_bit(v_days, extract(day FROM v_day)) OR monitor_bit(v_weekdays, extract(dow FROM v_day)));
        CONTINUE WHEN NOT v_either AND NOT (monitor_bit(v_days, extract(day FROM v_day)) AND monitor_bit(v_weekdays, extract(dow FROM v_day)));
        v_from := v_day::timestamp AT TIME ZONE v_zone;
        v_to := (v_day + 1)::timestamp AT TIME ZONE v_zone;
        IF monitor_offset(v_from - interval '3 hours', v_zone) <> monitor_offset(v_to + interval '3 hours', v_zone) THEN
            v_next := monitor_next_on_odd_day(v_day, p_after, v_zone, v_minutes, v_hours, v_follows);
        ELSIF v_to > p_after THEN
            SELECT min(r.at) INTO v_next
              FROM (SELECT v_from + make_interval(hours => h, mins => m) AS at
                      FROM generate_series(0, 23) h CROSS JOIN generate_series(0, 59) m
                     WHERE monitor_bit(v_hours, h) AND monitor_bit(v_minutes, m)) r
             WHERE r.at > p_after;
        END IF;
        IF v_next IS NOT NULL THEN
            RETURN v_next;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

-- ---- what a check-in changes

-- A UUIDv7 of that time that is the same whenever it is asked for.
CREATE FUNCTION monitor_id(p_at timestamptz, p_seed text) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT overlay(overlay(substr(replace(uuid7_floor(p_at)::text, '-', ''), 1, 12) || substr(md5(p_seed), 1, 20) PLACING '7' FROM 13 FOR 1)
                   PLACING '8' FROM 17 FOR 1)::uuid
$$;

-- The event that a failed check-in becomes, to be taken through a spool.
CREATE FUNCTION monitor_make_event(m monitors, e monitor_environments, k check_ins) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_now   timestamptz := date_trunc('milliseconds', clock_timestamp());
    v_event uuid := overlay(overlay(md5('monitor ' || k.project_id || ' ' || k.id) PLACING '8' FROM 13 FOR 1) PLACING '8' FROM 17 FOR 1)::uuid;
    v_row   uuid := monitor_id(v_now, 'event ' || k.project_id || ' ' || k.id);
    v_what  text := CASE k.status WHEN 'missed' THEN 'a run was missed' WHEN 'timeout' THEN 'a run did not end in time' ELSE 'a run failed' END;
BEGIN
    INSERT INTO monitor_events (project_id, id, event_id, made_at, payload)
    VALUES (k.project_id, v_row, v_event, v_now, jsonb_strip_nulls(jsonb_build_object(
        'event_id', replace(v_event::text, '-', ''), 'timestamp', extract(epoch FROM coalesce(k.ended_at, v_now)), 'platform', 'other',
        'level', CASE k.status WHEN 'missed' THEN 'warning' ELSE 'error' END, 'environment', e.name, 'release', nullif(k.release, ''),
        'fingerprint', jsonb_build_array('picket.monitor', m.slug, e.name), 'sdk', jsonb_build_object('name', 'picket.monitors'),
        'exception', jsonb_build_object('values', jsonb_build_array(jsonb_build_object('type', 'Cron failure: ' || m.slug, 'value', v_what))),
        'tags', jsonb_build_object('monitor.slug', m.slug, 'monitor.status', k.status),
        'contexts', jsonb_build_object(
            'trace', CASE WHEN k.trace_id IS NOT NULL THEN jsonb_build_object('trace_id', replace(k.trace_id::text, '-', '')) END,
            'monitor', jsonb_build_object(
                'slug', m.slug, 'name', m.name, 'status', k.status, 'check_in_id', k.check_in_id, 'started_at', k.started_at,
                'expected_at', k.expected_at, 'duration_ms', k.duration_ms, 'failures', e.failures, 'schedule_type', m.config->'type',
                'schedule', m.config->'value', 'unit', m.config->'unit', 'timezone', m.config->'timezone',
                'checkin_margin', m.config->'margin', 'max_runtime', m.config->'max_runtime'))))::text);
    UPDATE check_ins SET event_id = v_event WHERE project_id = k.project_id AND id = k.id;
    UPDATE monitor_environments SET event_row = v_row WHERE project_id = e.project_id AND id = e.id;
END $$;

-- The state of an environment by its rows, after check-in p_changed changed; the caller has locked it. From the streak that is the newest, that
-- check-in and the newest may become events: in whatever order they come, those do that are beyond the threshold or while an incident is open.
CREATE FUNCTION monitor_judge(m monitors, p_environment bigint, p_changed uuid, p_at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    e      monitor_environments;
    k      check_ins;
    v_good check_ins;   -- the newest
    v_bad  check_ins;
    v_rank int;
    v_open boolean;
BEGIN
    SELECT * INTO e FROM monitor_environments WHERE project_id = m.project_id AND id = p_environment;
    SELECT * INTO v_good FROM check_ins WHERE project_id = m.project_id AND environment_id = e.id AND verdict = 1 ORDER BY started_at DESC, id DESC LIMIT 1;
    SELECT * INTO v_bad FROM check_ins WHERE project_id = m.project_id AND environment_id = e.id AND verdict = -1 ORDER BY started_at DESC, id DESC LIMIT 1;
    IF v_good.id IS NULL AND v_bad.id IS NULL THEN
        RETURN;
    END IF;
    v_open := e.incident_at IS NOT NULL;
    IF v_bad.id IS NULL OR (v_good.started_at, v_good.id) > (v_bad.started_at, v_bad.id) THEN
        e.status := 'ok';
        e.failures := 0;
        IF v_open AND (m.config->>'recovery')::int <= (
            SELECT count(*) FROM (SELECT FROM check_ins c WHERE c.project_id = m.project_id AND c.environment_id = e.id AND c.verdict = 1
                                     AND (c.started_at, c.id) > (v_bad.started_at, v_bad.id) LIMIT 720) c) THEN
            e.incident_at := NULL;
            e.resolve_at := p_at;
        END IF;
    ELSE
        e.status := v_bad.status;
        SELECT count(*) INTO e.failures
          FROM (SELECT FROM check_ins c WHERE c.project_id = m.project_id AND c.environment_id = e.id AND c.verdict = -1
                   AND (v_good.id IS NULL OR (c.started_at, c.id) > (v_good.started_at, v_good.id)) LIMIT 720) c;
        IF NOT v_open AND e.failures >= (m.config->>'failures')::int THEN
            e.incident_at := v_bad.started_at;
            e.resolve_at := NULL;
        END IF;
    END IF;
    UPDATE monitor_environments SET status = e.status, failures = e.failures, incident_at = e.incident_at, resolve_at = e.resolve_at
     WHERE project_id = e.project_id AND id = e.id;
    IF e.failures = 0 THEN
        RETURN;
    END IF;
    FOR k IN SELECT * FROM check_ins c WHERE c.project_id = m.project_id AND c.id IN (p_changed, v_bad.id) AND c.environment_id = e.id AND c.verdict = -1
                AND c.event_id IS NULL AND (v_good.id IS NULL OR (c.started_at, c.id) > (v_good.started_at, v_good.id))
              ORDER BY c.started_at, c.id LOOP
        SELECT count(*) INTO v_rank
          FROM (SELECT FROM check_ins c WHERE c.project_id = m.project_id AND c.environment_id = e.id AND c.verdict = -1
                   AND (v_good.id IS NULL OR (c.started_at, c.id) > (v_good.started_at, v_good.id))
                   AND (c.started_at, c.id) <= (k.started_at, k.id) LIMIT 720) c;
        IF v_open OR v_rank >= (m.config->>'failures')::int THEN
            PERFORM monitor_make_event(m, e, k);
        END IF;
    END LOOP;
END $$;

-- The next run is expected after that time.
CREATE FUNCTION monitor_expect(m monitors, p_environment bigint, p_after timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_next timestamptz := monitor_next(m.config, p_after);
BEGIN
    UPDATE monitor_environments
       SET next_expected_at = v_next, next_latest_at = v_next + make_interval(mins => (m.config->>'margin')::int)
     WHERE project_id = m.project_id AND id = p_environment;
END $$;

-- The monitor of a check-in, made or changed as its configuration says. A refusal is its reason.
CREATE FUNCTION check_in_monitor(p_project int, p_at timestamptz, c jsonb, OUT m monitors, OUT refusal text) LANGUAGE plpgsql AS $$
DECLARE
    v_config jsonb := nullif(c->'config', 'null');
    v_limit  CONSTANT int := 1000; -- monitors of a project
BEGIN
    SELECT * INTO m FROM monitors WHERE project_id = p_project AND slug = c->>'slug' FOR UPDATE;
    IF v_config IS NOT NULL AND v_config IS DISTINCT FROM m.config AND NOT monitor_zone_known(v_config->>'timezone') THEN
        v_config := NULL;
    END IF;
    IF m.id IS NULL AND v_config IS NULL THEN
        refusal := CASE WHEN c ? 'config' THEN 'invalid_config' ELSE 'invalid_monitor' END;
    ELSIF m.id IS NULL AND (SELECT count(*) FROM monitors WHERE project_id = p_project) >= v_limit THEN
        refusal := 'monitor_limit';
    ELSIF m.id IS NULL THEN
        INSERT INTO monitors (project_id, slug, name, config, created_at, updated_at) VALUES (p_project, c->>'slug', c->>'name', v_config, p_at, p_at)
        RETURNING * INTO m;
    ELSIF v_config IS NOT NULL AND v_config <> m.config AND p_at >= m.updated_at THEN
        UPDATE monitors SET config = v_config, updated_at = p_at WHERE project_id = p_project AND id = m.id RETURNING * INTO m;
        PERFORM monitor_expect(m, e.id, greatest(p_at, e.last_check_in_at))
           FROM (SELECT id, last_check_in_at FROM monitor_environments WHERE project_id = p_project AND monitor_id = m.id ORDER BY id FOR UPDATE) e;
    END IF;
END $$;

-- The environment of a check-in, locked. At most six check-ins of one are taken in a minute.
CREATE FUNCTION check_in_environment(m monitors, p_at timestamptz, p_name text, OUT e monitor_environments, OUT refusal text) LANGUAGE plpgsql AS $$
DECLARE
    v_minute timestamptz := date_trunc('minute', p_at);
    v_limit  CONSTANT int := 100; -- environments of a monitor
    v_rate   CONSTANT int := 6;
BEGIN
    SELECT * INTO e FROM monitor_environments WHERE project_id = m.project_id AND monitor_id = m.id AND name = p_name FOR UPDATE;
    IF e.id IS NULL AND (SELECT count(*) FROM monitor_environments WHERE project_id = m.project_id AND monitor_id = m.id) >= v_limit THEN
        refusal := 'environment_limit';
    ELSIF e.id IS NULL THEN
        INSERT INTO monitor_environments (project_id, monitor_id, name, minute, minute_count) VALUES (m.project_id, m.id, p_name, v_minute, 1)
        RETURNING * INTO e;
    ELSIF e.minute = v_minute AND e.minute_count >= v_rate THEN
        refusal := 'monitor_rate';
    ELSIF v_minute >= e.minute THEN
        UPDATE monitor_environments SET minute = v_minute, minute_count = CASE WHEN minute = v_minute THEN minute_count ELSE 0 END + 1
         WHERE project_id = e.project_id AND id = e.id RETURNING * INTO e;
    END IF;
END $$;

-- The row that a check-in is about: by its id; without one an end belongs to the newest that runs, a start to an end that came before it.
CREATE FUNCTION check_in_find(e monitor_environments, p_at timestamptz, c jsonb) RETURNS check_ins LANGUAGE plpgsql STABLE AS $$
DECLARE
    k check_ins;
BEGIN
    IF c->>'id' IS NOT NULL THEN
        SELECT * INTO k FROM check_ins WHERE project_id = e.project_id AND check_in_id = (c->>'id')::uuid;
    ELSIF c->>'status' = 'in_progress' THEN
        SELECT * INTO k FROM check_ins
         WHERE project_id = e.project_id AND environment_id = e.id AND verdict <> 0 AND check_in_id IS NULL AND NOT opened AND status <> 'missed'
           AND ended_at > p_at ORDER BY started_at, id LIMIT 1;
    ELSE
        SELECT * INTO k FROM check_ins
         WHERE project_id = e.project_id AND environment_id = e.id AND verdict = 0 AND status = 'in_progress' AND started_at <= p_at
         ORDER BY started_at DESC, id DESC LIMIT 1;
    END IF;
    RETURN k;
END $$;

-- Stores one check-in; returns why it was not, '' when it was.
CREATE FUNCTION check_in_store(p_project int, p_id uuid, p_at timestamptz, c jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    m         monitors;
    e         monitor_environments;
    k         check_ins;
    r         record;
    v_status  text := c->>'status';
    v_said    bigint := c->>'duration_ms';
    v_runtime interval;
BEGIN
    SELECT * INTO r FROM check_in_monitor(p_project, p_at, c);
    IF r.refusal IS NOT NULL THEN
        RETURN r.refusal;
    END IF;
    m := r.m;
    SELECT * INTO r FROM check_in_environment(m, p_at, c->>'environment');
    IF r.refusal IS NOT NULL THEN
        RETURN r.refusal;
    END IF;
    e := r.e;
    k := check_in_find(e, p_at, c);
    v_runtime := make_interval(mins => (m.config->>'max_runtime')::int);
    IF k.id IS NOT NULL AND k.environment_id <> e.id THEN
        RETURN 'wrong_monitor';
    ELSIF k.id IS NULL THEN
        k.id := p_id;
        INSERT INTO check_ins (project_id, id, monitor_id, environment_id, check_in_id, status, started_at, expected_at, ended_at, timeout_at,
                               duration_ms, duration_said, opened, release, trace_id)
        SELECT p_project, p_id, m.id, e.id, (c->>'id')::uuid, v_status, s.at, e.next_expected_at, CASE WHEN v_status <> 'in_progress' THEN p_at END,
               CASE WHEN v_status = 'in_progress' THEN s.at + v_runtime END, v_said, v_said IS NOT NULL, v_status = 'in_progress', c->>'release', (c->>'trace_id')::uuid
          FROM (SELECT CASE WHEN v_status = 'in_progress' THEN p_at ELSE p_at - make_interval(secs => coalesce(v_said, 0) / 1000.0) END AS at) s;
    ELSIF v_status = 'in_progress' THEN -- late, or it goes on
        UPDATE check_ins
           SET started_at = least(started_at, p_at), opened = true,
               timeout_at = CASE WHEN ended_at IS NULL THEN greatest(timeout_at, p_at + v_runtime) ELSE timeout_at END,
               duration_ms = CASE WHEN duration_said OR ended_at IS NULL THEN duration_ms
                                  ELSE (extract(epoch FROM ended_at - least(started_at, p_at)) * 1000)::bigint END
         WHERE project_id = p_project AND id = k.id;
    ELSIF k.ended_at <= p_at THEN
        RETURN CASE WHEN k.status = v_status THEN 'duplicate' ELSE 'check_in_finished' END;
    ELSE -- it runs, or ran out of time, or what ended it was sent after this
        UPDATE check_ins
           SET status = CASE WHEN status = 'timeout' THEN status ELSE v_status END, timeout_at = CASE WHEN status = 'timeout' THEN timeout_at END, ended_at = p_at, duration_said = v_said IS NOT NULL,
               duration_ms = coalesce(v_said, greatest(0, (extract(epoch FROM p_at - started_at) * 1000)::bigint)),
               started_at = least(started_at, p_at), release = CASE WHEN release = '' THEN c->>'release' ELSE release END, trace_id = coalesce(trace_id, (c->>'trace_id')::uuid)
         WHERE project_id = p_project AND id = k.id;
    END IF;
    IF e.last_check_in_at IS NULL OR p_at >= e.last_check_in_at THEN
        UPDATE monitor_environments SET last_check_in_at = p_at WHERE project_id = p_project AND id = e.id;
        -- before the next run of a crontab it stays the next one
        IF m.config->>'type' = 'interval' OR e.next_expected_at > p_at IS NOT TRUE THEN
            PERFORM monitor_expect(m, e.id, p_at);
        END IF;
    END IF;
    PERFORM monitor_judge(m, e.id, k.id, p_at);
    RETURN '';
END $$;

-- What became of a check-in, as "outcomes" and "cases" of a report (category monitor is 10).
CREATE FUNCTION check_in_account(p_project int, p_key bigint, p_at timestamptz, c jsonb, p_reason text) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_outcome int := CASE p_reason WHEN '' THEN 0 WHEN 'monitor_rate' THEN 2 ELSE 3 END;
    v_line    jsonb := jsonb_build_object('p', p_project, 'k', p_key, 'c', 10, 'o', v_outcome, 'r', p_reason, 'n', 1);
    v_account jsonb := jsonb_build_object('outcomes', jsonb_build_array(v_line || jsonb_build_object('h', floor(extract(epoch FROM p_at)))));
BEGIN
    IF v_outcome > 0 THEN
        v_account := v_account || jsonb_build_object('cases', jsonb_build_array(
            v_line || jsonb_build_object('at', p_at, 'bytes', octet_length(c::text), 'client', '')));
    END IF;
    RETURN v_account;
END $$;

-- Stores the check-ins of a batch, and those that waited for a monitor of theirs. Returns the reports with what became of them.
CREATE FUNCTION digest_store_check_ins(v_project int[], x_id uuid[], x_key bigint[], x_received timestamptz[], v_report jsonb[]) RETURNS jsonb[]
LANGUAGE plpgsql AS $$
DECLARE
    x         record;
    w         monitor_waiting;
    v_reason  text;
    v_waiting CONSTANT int := 1000; -- of a project
BEGIN
    FOR x IN SELECT i.*, i.report->'check_in' AS body
               FROM unnest(v_report, v_project, x_id, x_key, x_received) WITH ORDINALITY i(report, project_id, id, key_id, received_at, n)
              WHERE i.report ? 'check_in' AND i.project_id IS NOT NULL ORDER BY i.project_id, i.received_at, i.id LOOP
        v_reason := check_in_store(x.project_id, x.id, x.received_at, x.body);
        IF v_reason = 'invalid_monitor' AND (SELECT count(*) FROM monitor_waiting WHERE project_id = x.project_id) < v_waiting THEN
            INSERT INTO monitor_waiting VALUES (x.project_id, x.id, x.body->>'slug', x.received_at, x.key_id, x.body);
            v_report[x.n] := '{}';
            CONTINUE;
        END IF;
        v_report[x.n] := check_in_account(x.project_id, x.key_id, x.received_at, x.body, v_reason);
        CONTINUE WHEN v_reason <> '' OR NOT x.body ? 'config';
        FOR w IN SELECT * FROM monitor_waiting WHERE project_id = x.project_id AND slug = x.body->>'slug' ORDER BY received_at, id LOOP
            DELETE FROM monitor_waiting WHERE project_id = w.project_id AND id = w.id;
            v_report := v_report || check_in_account(w.project_id, w.key_id, w.received_at, w.check_in,
                                                     check_in_store(w.project_id, w.id, w.received_at, w.check_in));
        END LOOP;
    END LOOP;
    RETURN v_report;
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
    v_report := digest_store_check_ins(v_project, x_id, x_key, x_received, v_report); -- what it adds is for the next two
    PERFORM digest_store_cases(v_report);
    PERFORM digest_store_outcomes(v_project, x_key, v_report); -- last: its rows are everybody's
END $$;

-- ---- what nobody checks in

-- Runs that were due while no server listened, from p_from to p_to: nobody knows. It waits for rows that the digest has; of two that wait for
-- each other the database ends one, and both try again.
CREATE FUNCTION monitor_forget_silence(p_from timestamptz, p_to timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE monitor_environments e
       SET next_expected_at = n.at, next_latest_at = n.at + make_interval(mins => (n.config->>'margin')::int)
      FROM (SELECT f.project_id, f.id, m.config, monitor_next(m.config, p_to) AS at
              FROM (SELECT * FROM monitor_environments WHERE next_latest_at >= p_from AND next_expected_at <= p_to
                     ORDER BY project_id, id FOR UPDATE) f
              JOIN monitors m ON m.project_id = f.project_id AND m.id = f.monitor_id) n
     WHERE e.project_id = n.project_id AND e.id = n.id;
    UPDATE check_ins SET heard = false WHERE status = 'in_progress' AND started_at <= p_to;
END $$;

-- A server says that it listens, and until when all that it took is stored; returns until when may be judged. Written down every ten seconds, and
-- not at all while there is nothing to judge: an idle server writes nothing.
CREATE FUNCTION monitor_beat(p_node uuid, p_now timestamptz, p_since timestamptz, p_heard timestamptz) RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE
    v_own    monitor_servers;
    v_last   timestamptz; -- when anybody was seen
    v_others timestamptz;
    v_heard  timestamptz;
BEGIN
    IF NOT EXISTS (SELECT FROM monitor_environments) AND NOT EXISTS (SELECT FROM monitor_waiting) THEN
        RETURN NULL;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('picket.monitors'));
    SELECT * INTO v_own FROM monitor_servers WHERE node = p_node;
    SELECT max(seen_at), min(heard_until) FILTER (WHERE seen_at > p_now - interval '5 minutes') INTO v_others, v_heard
      FROM monitor_servers WHERE node <> p_node;
    v_last := greatest(v_others, v_own.seen_at);
    IF v_own.since IS DISTINCT FROM p_since AND v_last < p_since AND v_others > p_since - interval '30 seconds' IS NOT TRUE THEN
        PERFORM monitor_forget_silence(v_last, p_since);
    END IF;
    IF v_own.since IS DISTINCT FROM p_since OR NOT p_now BETWEEN v_own.seen_at AND v_own.seen_at + interval '10 seconds' THEN
        DELETE FROM monitor_servers WHERE seen_at < p_now - interval '30 days';
        INSERT INTO monitor_servers AS s (node, since, seen_at, heard_until) VALUES (p_node, p_since, p_now, p_heard)
            ON CONFLICT (node) DO UPDATE SET since = excluded.since, seen_at = excluded.seen_at, heard_until = excluded.heard_until;
    END IF;
    RETURN least(p_heard, v_heard);
END $$;

CREATE FUNCTION monitor_notice_missed(p_until timestamptz, p_limit int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    e    monitor_environments;
    m    monitors;
    v_id uuid;
BEGIN
    FOR e IN SELECT * FROM monitor_environments WHERE next_latest_at <= p_until ORDER BY next_latest_at LIMIT p_limit FOR UPDATE SKIP LOCKED LOOP
        SELECT * INTO m FROM monitors WHERE project_id = e.project_id AND id = e.monitor_id;
        v_id := monitor_id(e.next_expected_at, 'missed ' || e.project_id || ' ' || e.id);
        INSERT INTO check_ins (project_id, id, monitor_id, environment_id, status, started_at, expected_at, ended_at, opened)
        VALUES (e.project_id, v_id, e.monitor_id, e.id, 'missed', e.next_expected_at, e.next_expected_at, e.next_latest_at, false)
            ON CONFLICT DO NOTHING;
        PERFORM monitor_expect(m, e.id, e.next_expected_at);
        PERFORM monitor_judge(m, e.id, v_id, e.next_latest_at);
    END LOOP;
END $$;

-- Of an environment that somebody has, it is noticed the next time.
CREATE FUNCTION monitor_notice_timeouts(p_until timestamptz, p_limit int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    k check_ins;
    m monitors;
BEGIN
    FOR k IN SELECT c.* FROM check_ins c JOIN monitor_environments e ON e.project_id = c.project_id AND e.id = c.environment_id
              WHERE c.status = 'in_progress' AND c.timeout_at <= p_until ORDER BY c.timeout_at LIMIT p_limit FOR UPDATE OF e SKIP LOCKED LOOP
        UPDATE check_ins SET status = CASE WHEN heard THEN 'timeout' ELSE 'unknown' END
         WHERE project_id = k.project_id AND id = k.id AND status = 'in_progress' AND timeout_at <= p_until;
        CONTINUE WHEN NOT FOUND;
        SELECT * INTO m FROM monitors WHERE project_id = k.project_id AND id = k.monitor_id;
        PERFORM monitor_judge(m, k.environment_id, k.id, k.timeout_at);
    END LOOP;
END $$;

-- Issues of incidents that are over, when their last event is there. An hour later nobody waits for it any more.
CREATE FUNCTION monitor_resolve_issues(p_now timestamptz, p_limit int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    e       monitor_environments;
    v_issue uuid;
BEGIN
    FOR e IN SELECT * FROM monitor_environments WHERE resolve_at IS NOT NULL ORDER BY resolve_at LIMIT p_limit FOR UPDATE SKIP LOCKED LOOP
        SELECT g.issue_id INTO v_issue
          FROM events v JOIN groupings g ON g.project_id = v.project_id AND g.id = v.grouping_id
         WHERE v.project_id = e.project_id AND v.id = e.event_row;
        CONTINUE WHEN v_issue IS NULL AND e.resolve_at > p_now - interval '1 hour';
        UPDATE monitor_environments SET resolve_at = NULL WHERE project_id = e.project_id AND id = e.id;
        UPDATE issues SET is_resolved = true, is_muted = false, resolved_at = p_now
         WHERE project_id = e.project_id AND id = v_issue AND NOT is_resolved;
        IF FOUND THEN
            INSERT INTO issue_transitions (project_id, issue_id, kind, at) VALUES (e.project_id, v_issue, 'resolved', p_now);
        END IF;
    END LOOP;
END $$;

-- Check-ins whose monitor never came.
CREATE FUNCTION monitor_give_up_waiting(p_until timestamptz, p_limit int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    w        monitor_waiting;
    v_report jsonb[] := '{}';
BEGIN
    FOR w IN SELECT * FROM monitor_waiting WHERE received_at <= p_until ORDER BY received_at LIMIT p_limit FOR UPDATE SKIP LOCKED LOOP
        DELETE FROM monitor_waiting WHERE project_id = w.project_id AND id = w.id;
        v_report := v_report || check_in_account(w.project_id, w.key_id, w.received_at, w.check_in, 'invalid_monitor');
    END LOOP;
    IF v_report <> '{}' THEN
        PERFORM digest_store_cases(v_report);
        PERFORM digest_store_outcomes('{}', '{}', v_report);
    END IF;
END $$;

-- One look. p_node: the server's; p_now: its clock; p_since: when it began to listen; p_heard: all that it took until then is stored (null: not
-- known yet). Returns events to be taken into its spool; those are its own for a minute.
CREATE FUNCTION monitor_tick(p_node uuid, p_now timestamptz, p_since timestamptz, p_heard timestamptz, p_limit int)
RETURNS TABLE (ret_project int, ret_id uuid, ret_event_id uuid, ret_made_at timestamptz, ret_payload text) LANGUAGE plpgsql AS $$
DECLARE
    v_until timestamptz;
BEGIN
    IF p_heard IS NOT NULL THEN
        v_until := monitor_beat(p_node, p_now, p_since, p_heard);
        PERFORM monitor_notice_timeouts(v_until, p_limit);
        PERFORM monitor_notice_missed(v_until, p_limit);
    END IF;
    PERFORM monitor_resolve_issues(p_now, p_limit);
    PERFORM monitor_give_up_waiting(v_until, p_limit); -- outcomes are last, as everywhere
    RETURN QUERY
        WITH taken AS (SELECT t.project_id, t.id FROM monitor_events t WHERE t.taken_until < now() ORDER BY t.id LIMIT p_limit FOR UPDATE SKIP LOCKED)
        UPDATE monitor_events v SET taken_until = now() + interval '1 minute'
          FROM taken WHERE v.project_id = taken.project_id AND v.id = taken.id
        RETURNING v.project_id, v.id, v.event_id, v.made_at, v.payload;
END $$;

-- Beside retention_tidy: check-ins go with the events of their day; what is left of deleted monitors and projects goes at once.
CREATE FUNCTION retention_tidy_monitors(p_now timestamptz, p_days int, p_limit int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_all  bigint;
    v_gone bigint;
BEGIN
    DELETE FROM check_ins WHERE ctid IN (
        SELECT o.ctid FROM projects p
         CROSS JOIN LATERAL (SELECT c.ctid FROM check_ins c WHERE c.project_id = p.id
                                AND c.id < uuid7_floor(date_trunc('day', p_now, 'UTC') - make_interval(days => coalesce(p.retention_days, p_days)))
                              LIMIT p_limit) o LIMIT p_limit);
    GET DIAGNOSTICS v_all = ROW_COUNT;
    DELETE FROM check_ins WHERE ctid IN (
        SELECT o.ctid FROM monitor_leavings l
         CROSS JOIN LATERAL (SELECT c.ctid FROM check_ins c WHERE c.project_id = l.project_id AND c.environment_id = l.environment_id
                              LIMIT p_limit) o LIMIT p_limit);
    GET DIAGNOSTICS v_gone = ROW_COUNT;
    DELETE FROM monitor_leavings l
     WHERE NOT EXISTS (SELECT FROM check_ins c WHERE c.project_id = l.project_id AND c.environment_id = l.environment_id);
    RETURN v_all + v_gone;
END $$;
