-- What one environment of a monitor, one project or one backlog must not cost its neighbours. Functions of 0010 and 0012, made anew.
--
-- A dead environment. Nobody checks in, and each run is missed: a row of check_ins, as before. Not each becomes an event while its incident is open, since
-- no quota stands in the way of a server's own events: those do whose place in the streak is a power of two (one sees at once that it goes on, and how
-- long it has), and the first of each UTC day (one sees that it still does, and daily or rarer runs all count). A minutely monitor makes eleven events
-- in its first 24 hours and one a day then; it was 1440. Failures that clients sent, and runs that began and did not end, all become events.
-- After a hundred missed runs in a row and a week without a check-in (both) the environment is dormant: nothing is expected of it before its next
-- check-in. A week is longer than people leave a broken job of minutes or hours unattended, a hundred runs are a third of a year of a daily one: who had to
-- know has been told many times, and each further run would only be a row that nobody reads. Its incident stays open until good runs close it.
--
-- An environment that cannot be handled (a configuration that this release cannot read, say) is put off for an hour, with a warning in the database's
-- log; all others go on. What is the database's own trouble (a deadlock, no room, a stop) ends the statement as before, and everything is tried again.
ALTER TABLE monitor_environments
    ADD COLUMN missed_since    timestamptz,                              -- the first run of those that were missed in a row
    ADD COLUMN missed_runs     int NOT NULL DEFAULT 0,                   -- how many; of a check-in behind missed_since: no more true
    ADD COLUMN dormant_at      timestamptz,                              -- since then nothing is expected; null: it is not dormant
    ADD COLUMN resolve_look_at timestamptz NOT NULL DEFAULT '-infinity'; -- with resolve_at: when to look for its event next
DROP INDEX monitor_environments_resolve;
CREATE INDEX monitor_environments_resolve ON monitor_environments (resolve_look_at) WHERE resolve_at IS NOT NULL;
CREATE INDEX monitor_environments_due ON monitor_environments (project_id, next_latest_at);

-- Times when nobody listened, until what was due in them is forgotten, page by page. Nothing is judged before that.
CREATE TABLE monitor_silences (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    from_at        timestamptz NOT NULL,
    to_at          timestamptz NOT NULL,
    project_id     int NOT NULL DEFAULT 0,      -- this and the next: environments up to this one are done
    environment_id bigint NOT NULL DEFAULT 0
);

-- ---- events of missed runs

-- Whether a missed run of an open incident becomes an event. p_rank: its place in the streak, counted up to 720.
CREATE FUNCTION monitor_missed_tells(m monitors, k check_ins, p_rank int) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_threshold int := m.config->>'failures';
    v_place     int := CASE WHEN p_rank >= v_threshold THEN p_rank - v_threshold + 1 ELSE p_rank END;
    v_before    timestamptz;
BEGIN
    IF p_rank < 720 AND v_place & (v_place - 1) = 0 THEN
        RETURN true;
    END IF;
    SELECT c.started_at INTO v_before FROM check_ins c
     WHERE c.project_id = k.project_id AND c.environment_id = k.environment_id AND c.verdict = -1 AND (c.started_at, c.id) < (k.started_at, k.id)
     ORDER BY c.started_at DESC, c.id DESC LIMIT 1;
    RETURN date_trunc('day', v_before, 'UTC') IS DISTINCT FROM date_trunc('day', k.started_at, 'UTC');
END $$;

-- As in 0012, but that an incident can be closed when its failures have aged, that older streaks cost nothing, and for the last loop.
CREATE OR REPLACE FUNCTION monitor_judge(m monitors, p_environment bigint, p_changed uuid, p_at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
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
    -- what is not there, or has aged, lies before everything
    v_good.started_at := coalesce(v_good.started_at, '-infinity');
    v_good.id := coalesce(v_good.id, '00000000-0000-0000-0000-000000000000');
    v_bad.started_at := coalesce(v_bad.started_at, '-infinity');
    v_bad.id := coalesce(v_bad.id, '00000000-0000-0000-0000-000000000000');
    v_open := e.incident_at IS NOT NULL;
    IF (v_good.started_at, v_good.id) > (v_bad.started_at, v_bad.id) THEN
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
                   AND (c.started_at, c.id) > (v_good.started_at, v_good.id) LIMIT 720) c;
        IF NOT v_open AND e.failures >= (m.config->>'failures')::int THEN
            e.incident_at := v_bad.started_at;
            e.resolve_at := NULL;
        END IF;
    END IF;
    UPDATE monitor_environments
       SET status = e.status, failures = e.failures, incident_at = e.incident_at, resolve_at = e.resolve_at,
           resolve_look_at = CASE WHEN resolve_at IS DISTINCT FROM e.resolve_at THEN '-infinity' ELSE resolve_look_at END
     WHERE project_id = e.project_id AND id = e.id;
    IF e.failures = 0 THEN
        RETURN;
    END IF;
    FOR k IN SELECT * FROM check_ins c WHERE c.project_id = m.project_id AND c.id IN (p_changed, v_bad.id) AND c.environment_id = e.id AND c.verdict = -1
                AND c.event_id IS NULL AND (c.started_at, c.id) > (v_good.started_at, v_good.id)
              ORDER BY c.started_at, c.id LOOP
        v_rank := e.failures; -- of the newest
        IF k.id <> v_bad.id THEN
            SELECT count(*) INTO v_rank
              FROM (SELECT FROM check_ins c WHERE c.project_id = m.project_id AND c.environment_id = e.id AND c.verdict = -1
                       AND (c.started_at, c.id) > (v_good.started_at, v_good.id)
                       AND (c.started_at, c.id) <= (k.started_at, k.id) LIMIT 720) c;
        END IF;
        CONTINUE WHEN NOT v_open AND v_rank < (m.config->>'failures')::int;
        CONTINUE WHEN v_open AND k.status = 'missed' AND NOT monitor_missed_tells(m, k, v_rank);
        PERFORM monitor_make_event(m, e, k);
    END LOOP;
END $$;

-- ---- what is expected

CREATE OR REPLACE FUNCTION monitor_expect(m monitors, p_environment bigint, p_after timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_next timestamptz := monitor_next(m.config, p_after);
BEGIN
    UPDATE monitor_environments
       SET next_expected_at = v_next, next_latest_at = v_next + make_interval(mins => (m.config->>'margin')::int), dormant_at = NULL
     WHERE project_id = m.project_id AND id = p_environment;
END $$;

-- As in 0012; a configuration that changes wakes no dormant environment.
CREATE OR REPLACE FUNCTION check_in_monitor(p_project int, p_at timestamptz, c jsonb, OUT m monitors, OUT refusal text) LANGUAGE plpgsql AS $$
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
           FROM (SELECT id, last_check_in_at FROM monitor_environments
                  WHERE project_id = p_project AND monitor_id = m.id AND dormant_at IS NULL ORDER BY id FOR UPDATE) e;
    END IF;
END $$;

-- ---- what nobody checks in

-- Not for the one environment's sake: deadlocks, no room or memory, a stop of the database, its disk.
CREATE FUNCTION monitor_fault_is_common(p_sqlstate text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT left(p_sqlstate, 2) IN ('40', '53', '57', '58')
$$;

-- What was due in the oldest silence is forgotten, for p_limit environments at a call: monitor_next takes up to a millisecond, so that a hundred thousand
-- at once would keep their rows from the digest for minutes. True: no silence is left. It waits for rows that the digest has; of two that wait for each
-- other the database ends one, and both try again.
CREATE FUNCTION monitor_forget_silences(p_limit int) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    s      monitor_silences;
    e      monitor_environments;
    m      monitors;
    v_seen int := 0;
    v_rows bigint;
BEGIN
    SELECT * INTO s FROM monitor_silences ORDER BY id LIMIT 1;
    IF s.id IS NULL THEN
        RETURN true;
    END IF;
    FOR e IN SELECT * FROM monitor_environments
              WHERE (project_id, id) > (s.project_id, s.environment_id) AND next_latest_at >= s.from_at AND next_expected_at <= s.to_at
              ORDER BY project_id, id LIMIT p_limit FOR UPDATE LOOP
        v_seen := v_seen + 1;
        s.project_id := e.project_id;
        s.environment_id := e.id;
        BEGIN
            SELECT * INTO m FROM monitors WHERE project_id = e.project_id AND id = e.monitor_id;
            PERFORM monitor_expect(m, e.id, s.to_at);
        EXCEPTION WHEN OTHERS THEN
            IF monitor_fault_is_common(SQLSTATE) THEN
                RAISE;
            END IF;
            RAISE WARNING 'nothing is expected of environment % of project % until its next check-in: %', e.id, e.project_id, SQLERRM;
            UPDATE monitor_environments SET next_expected_at = NULL, next_latest_at = NULL WHERE project_id = e.project_id AND id = e.id;
        END;
    END LOOP;
    UPDATE check_ins SET heard = false
     WHERE (project_id, id) IN (SELECT c.project_id, c.id FROM check_ins c WHERE c.status = 'in_progress' AND c.heard AND c.started_at <= s.to_at
                                 LIMIT 10 * p_limit);
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    IF v_seen >= p_limit OR v_rows >= 10 * p_limit THEN
        UPDATE monitor_silences SET project_id = s.project_id, environment_id = s.environment_id WHERE id = s.id;
        RETURN false;
    END IF;
    DELETE FROM monitor_silences WHERE id = s.id;
    RETURN NOT EXISTS (SELECT FROM monitor_silences);
END $$;
DROP FUNCTION monitor_forget_silence(timestamptz, timestamptz);

CREATE OR REPLACE FUNCTION monitor_beat(p_node uuid, p_now timestamptz, p_since timestamptz, p_heard timestamptz) RETURNS timestamptz LANGUAGE plpgsql AS $$
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
        INSERT INTO monitor_silences (from_at, to_at) VALUES (v_last, p_since);
    END IF;
    IF v_own.since IS DISTINCT FROM p_since OR NOT p_now BETWEEN v_own.seen_at AND v_own.seen_at + interval '10 seconds' THEN
        DELETE FROM monitor_servers WHERE seen_at < p_now - interval '30 days';
        INSERT INTO monitor_servers AS s (node, since, seen_at, heard_until) VALUES (p_node, p_since, p_now, p_heard)
            ON CONFLICT (node) DO UPDATE SET since = excluded.since, seen_at = excluded.seen_at, heard_until = excluded.heard_until;
    END IF;
    RETURN CASE WHEN monitor_forget_silences(500) THEN least(p_heard, v_heard) END;
END $$;

-- Of each project the most overdue first, and the projects by turns: one that has more to miss than fits into a second delays nobody else. The first
-- look, which mostly finds nothing, goes by all projects' index, the second from project to project by theirs.
CREATE OR REPLACE FUNCTION monitor_notice_missed(p_until timestamptz, p_limit int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    e        monitor_environments;
    m        monitors;
    v_id     uuid;
    v_latest timestamptz;
BEGIN
    IF NOT EXISTS (SELECT FROM monitor_environments WHERE next_latest_at <= p_until) THEN
        RETURN;
    END IF;
    FOR e IN WITH RECURSIVE having_some AS (
                 (SELECT v.project_id FROM monitor_environments v ORDER BY v.project_id LIMIT 1)
                  UNION ALL
                 SELECT (SELECT v.project_id FROM monitor_environments v WHERE v.project_id > h.project_id ORDER BY v.project_id LIMIT 1)
                   FROM having_some h WHERE h.project_id IS NOT NULL),
             due AS (
                 SELECT d.*
                   FROM having_some h
                  CROSS JOIN LATERAL (SELECT o.project_id, o.id, o.next_latest_at, row_number() OVER (ORDER BY o.next_latest_at) AS turn
                                        FROM (SELECT v.project_id, v.id, v.next_latest_at FROM monitor_environments v
                                               WHERE v.project_id = h.project_id AND v.next_latest_at <= p_until
                                               ORDER BY v.next_latest_at LIMIT p_limit) o) d
                  ORDER BY turn, next_latest_at LIMIT p_limit)
             SELECT o.* FROM due d JOIN monitor_environments o ON o.project_id = d.project_id AND o.id = d.id
              WHERE o.next_latest_at <= p_until FOR UPDATE OF o SKIP LOCKED LOOP
        BEGIN
            SELECT * INTO m FROM monitors WHERE project_id = e.project_id AND id = e.monitor_id;
            v_id := monitor_id(e.next_expected_at, 'missed ' || e.project_id || ' ' || e.id);
            v_latest := e.next_expected_at + make_interval(mins => (m.config->>'margin')::int);
            INSERT INTO check_ins (project_id, id, monitor_id, environment_id, status, started_at, expected_at, ended_at, opened)
            VALUES (e.project_id, v_id, e.monitor_id, e.id, 'missed', e.next_expected_at, e.next_expected_at, v_latest, false)
                ON CONFLICT DO NOTHING;
            IF e.missed_since IS NULL OR e.last_check_in_at >= e.missed_since THEN
                e.missed_since := e.next_expected_at;
                e.missed_runs := 0;
            END IF;
            e.missed_runs := e.missed_runs + 1;
            PERFORM monitor_expect(m, e.id, e.next_expected_at);
            UPDATE monitor_environments SET missed_since = e.missed_since, missed_runs = e.missed_runs WHERE project_id = e.project_id AND id = e.id;
            IF e.missed_runs >= 100 AND e.missed_since <= p_until - interval '7 days' THEN
                UPDATE monitor_environments SET next_expected_at = NULL, next_latest_at = NULL, dormant_at = p_until
                 WHERE project_id = e.project_id AND id = e.id;
            END IF;
            PERFORM monitor_judge(m, e.id, v_id, v_latest);
        EXCEPTION WHEN OTHERS THEN
            IF monitor_fault_is_common(SQLSTATE) THEN
                RAISE;
            END IF;
            RAISE WARNING 'environment % of project % is looked at again in an hour: %', e.id, e.project_id, SQLERRM;
            UPDATE monitor_environments SET next_latest_at = p_until + interval '1 hour' WHERE project_id = e.project_id AND id = e.id;
        END;
    END LOOP;
END $$;

-- Of an environment that somebody has, it is noticed the next time.
CREATE OR REPLACE FUNCTION monitor_notice_timeouts(p_until timestamptz, p_limit int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    k check_ins;
    m monitors;
BEGIN
    FOR k IN SELECT c.* FROM check_ins c JOIN monitor_environments e ON e.project_id = c.project_id AND e.id = c.environment_id
              WHERE c.status = 'in_progress' AND c.timeout_at <= p_until ORDER BY c.timeout_at LIMIT p_limit FOR UPDATE OF e SKIP LOCKED LOOP
        BEGIN
            UPDATE check_ins SET status = CASE WHEN heard THEN 'timeout' ELSE 'unknown' END
             WHERE project_id = k.project_id AND id = k.id AND status = 'in_progress' AND timeout_at <= p_until;
            CONTINUE WHEN NOT FOUND;
            SELECT * INTO m FROM monitors WHERE project_id = k.project_id AND id = k.monitor_id;
            PERFORM monitor_judge(m, k.environment_id, k.id, k.timeout_at);
        EXCEPTION WHEN OTHERS THEN
            IF monitor_fault_is_common(SQLSTATE) THEN
                RAISE;
            END IF;
            RAISE WARNING 'check-in % of project % is looked at again in an hour: %', k.id, k.project_id, SQLERRM;
            UPDATE check_ins SET timeout_at = p_until + interval '1 hour' WHERE project_id = k.project_id AND id = k.id;
        END;
    END LOOP;
END $$;

-- Issues of incidents that are over, when their last event is there. One that is not there yet is looked for ever more rarely, so that others have their
-- turn; an hour later nobody waits for it any more.
CREATE OR REPLACE FUNCTION monitor_resolve_issues(p_now timestamptz, p_limit int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    e       monitor_environments;
    v_issue uuid;
BEGIN
    FOR e IN SELECT * FROM monitor_environments WHERE resolve_at IS NOT NULL AND resolve_look_at <= p_now
              ORDER BY resolve_look_at LIMIT p_limit FOR UPDATE SKIP LOCKED LOOP
        BEGIN
            SELECT g.issue_id INTO v_issue
              FROM events v JOIN groupings g ON g.project_id = v.project_id AND g.id = v.grouping_id
             WHERE v.project_id = e.project_id AND v.id = e.event_row;
            IF v_issue IS NULL AND e.resolve_at > p_now - interval '1 hour' THEN
                UPDATE monitor_environments SET resolve_look_at = p_now + greatest(interval '1 second', (p_now - resolve_at) / 8)
                 WHERE project_id = e.project_id AND id = e.id;
                CONTINUE;
            END IF;
            UPDATE monitor_environments SET resolve_at = NULL WHERE project_id = e.project_id AND id = e.id;
            UPDATE issues SET is_resolved = true, is_muted = false, resolved_at = p_now
             WHERE project_id = e.project_id AND id = v_issue AND NOT is_resolved;
            IF FOUND THEN
                INSERT INTO issue_transitions (project_id, issue_id, kind, at) VALUES (e.project_id, v_issue, 'resolved', p_now);
            END IF;
        EXCEPTION WHEN OTHERS THEN
            IF monitor_fault_is_common(SQLSTATE) THEN
                RAISE;
            END IF;
            RAISE WARNING 'the issue of environment % of project % is looked at again in an hour: %', e.id, e.project_id, SQLERRM;
            UPDATE monitor_environments SET resolve_look_at = p_now + interval '1 hour' WHERE project_id = e.project_id AND id = e.id;
        END;
    END LOOP;
END $$;

-- Events for a server's spool; its own for a minute. Of each project the oldest first, and the projects by turns: one probe of the key finds each project
-- that has some, so that a long queue of one costs no more than a short one.
CREATE FUNCTION monitor_take_events(p_limit int)
RETURNS TABLE (ret_project int, ret_id uuid, ret_event_id uuid, ret_made_at timestamptz, ret_payload text) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY
        WITH RECURSIVE having_some AS (
            (SELECT t.project_id FROM monitor_events t ORDER BY t.project_id LIMIT 1)
             UNION ALL
            SELECT (SELECT t.project_id FROM monitor_events t WHERE t.project_id > h.project_id ORDER BY t.project_id LIMIT 1)
              FROM having_some h WHERE h.project_id IS NOT NULL),
        next AS (
            SELECT n.project_id, n.id
              FROM having_some h
             CROSS JOIN LATERAL (SELECT o.project_id, o.id, row_number() OVER (ORDER BY o.id) AS turn
                                   FROM (SELECT t.project_id, t.id FROM monitor_events t
                                          WHERE t.project_id = h.project_id AND t.taken_until < now() ORDER BY t.id LIMIT p_limit) o) n
             ORDER BY n.turn, n.id LIMIT p_limit),
        taken AS (
            SELECT t.project_id, t.id FROM monitor_events t JOIN next n ON n.project_id = t.project_id AND n.id = t.id
             WHERE t.taken_until < now() FOR UPDATE OF t SKIP LOCKED)
        UPDATE monitor_events v SET taken_until = now() + interval '1 minute'
          FROM taken WHERE v.project_id = taken.project_id AND v.id = taken.id
        RETURNING v.project_id, v.id, v.event_id, v.made_at, v.payload;
END $$;

CREATE OR REPLACE FUNCTION monitor_tick(p_node uuid, p_now timestamptz, p_since timestamptz, p_heard timestamptz, p_limit int)
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
    RETURN QUERY SELECT * FROM monitor_take_events(p_limit);
END $$;

-- ---- attachments and letters

-- Attachments go as 0010 says, some rows at a call. What a call looks at is bounded, too: rows are looked for by index, until there are enough (LATERAL
-- with a LIMIT of its own), and erased persons are asked about when age alone gives too few.
CREATE OR REPLACE FUNCTION retention_attachments(p_now timestamptz, p_days int, p_limit int) RETURNS TABLE (rows bigint, bytes bigint)
LANGUAGE sql SET jit = off AS $$
    WITH aged AS (
        SELECT o.project_id, o.id
          FROM retention_rules(p_now, p_days, NULL) r
         CROSS JOIN LATERAL (SELECT a.project_id, a.id FROM attachments a
                              WHERE a.project_id = r.project_id AND a.id < uuid7_floor(r.first_day::timestamp AT TIME ZONE 'UTC') LIMIT p_limit) o
         LIMIT p_limit),
    erased AS (
        SELECT o.project_id, o.id
          FROM erasure_rows x
         CROSS JOIN LATERAL (SELECT a.project_id, a.id
                               FROM events e JOIN attachments a ON a.project_id = e.project_id AND a.event_id = e.event_id
                              WHERE e.project_id = x.project_id AND e.id = x.id LIMIT p_limit) o
         LIMIT p_limit),
    gone AS (
        DELETE FROM attachments a USING (SELECT * FROM aged UNION ALL SELECT * FROM erased LIMIT p_limit) o
         WHERE a.project_id = o.project_id AND a.id = o.id RETURNING a.size)
    SELECT count(*), coalesce(sum(size), 0)::bigint FROM gone
$$;

-- Letters of attachments (kind 7) stay rows, above the bound of the others: the sweep of files asks the rows which files are named (attachment_unnamed),
-- and could not ask a file beside one server. They are small; their bytes lie in the store already.
CREATE INDEX dead_letters_spillable ON dead_letters (id) WHERE status = 'dead' AND kind <> 7;
