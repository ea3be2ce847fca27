-- What changed configurations and incidents that are over may cost others: a long statement, and a deadlock.
--
-- A configuration that changes is looked at anew for each environment, a hundred at most, and monitor_next takes up to a millisecond for one. Two configurations
-- that take turns in a thousand check-ins of a batch made that batch last for minutes, with a worker, and everybody's records behind it. Now a change is
-- one row: it numbers the configuration (config_no), and an environment says by which its next run is expected. Whoever needs one that is expected by
-- another makes it anew: its own check-in at once, so that a changed schedule holds with it, and monitor_expect_anew the others, some at each look.
--
-- Rivals: a bound for changes of a monitor in a minute still lets a project's thousand monitors change in one batch, a hundred environments each. To count check-ins
-- before their configuration is read lets each of a hundred environments change it six times a minute.
ALTER TABLE monitors
    ADD COLUMN config_no int NOT NULL DEFAULT 0,             -- grows with each change
    ADD COLUMN anew_at   timestamptz;                        -- since then environments are expected by an older one; null: none is
ALTER TABLE monitor_environments
    ADD COLUMN config_no int NOT NULL DEFAULT 0;             -- of the configuration that next_expected_at is by
CREATE INDEX monitors_anew ON monitors (project_id, anew_at) WHERE anew_at IS NOT NULL;

-- ---- what is expected

-- As in 0016, and by which configuration.
CREATE OR REPLACE FUNCTION monitor_expect(m monitors, p_environment bigint, p_after timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_next timestamptz := monitor_next(m.config, p_after);
BEGIN
    UPDATE monitor_environments
       SET next_expected_at = v_next, next_latest_at = v_next + make_interval(mins => (m.config->>'margin')::int), dormant_at = NULL, config_no = m.config_no
     WHERE project_id = m.project_id AND id = p_environment;
END $$;

-- As in 0016, but that a change is noted.
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
        UPDATE monitors SET config = v_config, updated_at = p_at, config_no = m.config_no + 1, anew_at = coalesce(m.anew_at, p_at)
         WHERE project_id = p_project AND id = m.id RETURNING * INTO m;
    END IF;
END $$;

-- As in 0012, but for what of another configuration is expected. A dormant one stays so until its check-in is stored.
CREATE OR REPLACE FUNCTION check_in_environment(m monitors, p_at timestamptz, p_name text, OUT e monitor_environments, OUT refusal text) LANGUAGE plpgsql AS $$
DECLARE
    v_minute timestamptz := date_trunc('minute', p_at);
    v_limit  CONSTANT int := 100; -- environments of a monitor
    v_rate   CONSTANT int := 6;
BEGIN
    SELECT * INTO e FROM monitor_environments WHERE project_id = m.project_id AND monitor_id = m.id AND name = p_name FOR UPDATE;
    IF e.id IS NULL AND (SELECT count(*) FROM monitor_environments WHERE project_id = m.project_id AND monitor_id = m.id) >= v_limit THEN
        refusal := 'environment_limit';
    ELSIF e.id IS NULL THEN
        INSERT INTO monitor_environments (project_id, monitor_id, name, minute, minute_count, config_no)
        VALUES (m.project_id, m.id, p_name, v_minute, 1, m.config_no) RETURNING * INTO e;
    ELSIF e.minute = v_minute AND e.minute_count >= v_rate THEN
        refusal := 'monitor_rate';
    ELSE
        IF e.config_no <> m.config_no AND e.dormant_at IS NULL THEN
            PERFORM monitor_expect(m, e.id, greatest(m.updated_at, e.last_check_in_at));
        END IF;
        UPDATE monitor_environments
           SET minute = greatest(minute, v_minute),
               minute_count = CASE WHEN v_minute < minute THEN minute_count WHEN v_minute = minute THEN minute_count + 1 ELSE 1 END
         WHERE project_id = e.project_id AND id = e.id RETURNING * INTO e;
    END IF;
END $$;

-- Environments that are expected by an older configuration, of about p_limit at a call; the projects by turns. p_since: since when the asking server listens,
-- because what was due before is held against nobody. A monitor that the digest has is looked at the next time.
CREATE FUNCTION monitor_expect_anew(p_since timestamptz, p_limit int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    m      monitors;
    e      monitor_environments;
    v_seen int := 0;
BEGIN
    FOR m IN SELECT o.* FROM (SELECT v.project_id, v.id, v.anew_at, row_number() OVER (PARTITION BY v.project_id ORDER BY v.anew_at) AS turn
                                FROM monitors v WHERE v.anew_at IS NOT NULL ORDER BY turn, v.anew_at LIMIT p_limit) d
               JOIN monitors o ON o.project_id = d.project_id AND o.id = d.id
              WHERE o.anew_at IS NOT NULL ORDER BY d.turn, d.anew_at FOR UPDATE OF o SKIP LOCKED LOOP
        EXIT WHEN v_seen >= p_limit;
        FOR e IN SELECT * FROM monitor_environments v
                  WHERE v.project_id = m.project_id AND v.monitor_id = m.id AND v.config_no <> m.config_no AND v.dormant_at IS NULL ORDER BY v.id FOR UPDATE LOOP
            v_seen := v_seen + 1;
            BEGIN
                PERFORM monitor_expect(m, e.id, greatest(m.updated_at, e.last_check_in_at, p_since));
            EXCEPTION WHEN OTHERS THEN
                IF monitor_fault_is_common(SQLSTATE) THEN
                    RAISE;
                END IF;
                RAISE WARNING 'nothing is expected of environment % of project % until its next check-in: %', e.id, e.project_id, SQLERRM;
                UPDATE monitor_environments SET next_expected_at = NULL, next_latest_at = NULL, config_no = m.config_no
                 WHERE project_id = e.project_id AND id = e.id;
            END;
        END LOOP;
        UPDATE monitors SET anew_at = NULL WHERE project_id = m.project_id AND id = m.id;
    END LOOP;
END $$;

-- As in 0016, but that nothing is held against an environment by a configuration that is no more.
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
            IF e.config_no <> m.config_no THEN
                PERFORM monitor_expect(m, e.id, p_until);
                CONTINUE;
            END IF;
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

-- As in 0016, and it expects anew.
CREATE OR REPLACE FUNCTION monitor_tick(p_node uuid, p_now timestamptz, p_since timestamptz, p_heard timestamptz, p_limit int)
RETURNS TABLE (ret_project int, ret_id uuid, ret_event_id uuid, ret_made_at timestamptz, ret_payload text) LANGUAGE plpgsql AS $$
DECLARE
    v_until timestamptz;
BEGIN
    IF p_heard IS NOT NULL THEN
        v_until := monitor_beat(p_node, p_now, p_since, p_heard);
        PERFORM monitor_expect_anew(p_since, p_limit); -- behind the lock of looks: environments are waited for
        PERFORM monitor_notice_timeouts(v_until, p_limit);
        PERFORM monitor_notice_missed(v_until, p_limit);
    END IF;
    PERFORM monitor_resolve_issues(p_now, p_limit);
    PERFORM monitor_give_up_waiting(v_until, p_limit); -- outcomes are last, as everywhere
    RETURN QUERY SELECT * FROM monitor_take_events(p_limit);
END $$;

-- ---- issues of incidents that are over

-- As in 0016, but in the order of locks: to resolve an issue takes its project's row of issue_states (0021), and who has that must not wait for an issue,
-- which a batch may have that comes to the row. So all issues are locked first, ascending, and change then, one by one: one that cannot is put off alone.
CREATE OR REPLACE FUNCTION monitor_resolve_issues(p_now timestamptz, p_limit int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    e             monitor_environments;
    v_issue       uuid;
    v_project     int[] := '{}'; -- this and the next two: what is to be resolved
    v_environment bigint[] := '{}';
    v_issues      uuid[] := '{}';
    r             record;
BEGIN
    FOR e IN SELECT * FROM monitor_environments WHERE resolve_at IS NOT NULL AND resolve_look_at <= p_now
              ORDER BY resolve_look_at LIMIT p_limit FOR UPDATE SKIP LOCKED LOOP
        SELECT g.issue_id INTO v_issue
          FROM events v JOIN groupings g ON g.project_id = v.project_id AND g.id = v.grouping_id
         WHERE v.project_id = e.project_id AND v.id = e.event_row;
        IF v_issue IS NOT NULL THEN
            v_project := v_project || e.project_id;
            v_environment := v_environment || e.id;
            v_issues := v_issues || v_issue;
        ELSE
            UPDATE monitor_environments
               SET resolve_at = CASE WHEN resolve_at > p_now - interval '1 hour' THEN resolve_at END,
                   resolve_look_at = p_now + greatest(interval '1 second', (p_now - resolve_at) / 8)
             WHERE project_id = e.project_id AND id = e.id;
        END IF;
    END LOOP;

    PERFORM FROM unnest(v_project, v_issues) u(project_id, issue_id) JOIN issues i ON i.project_id = u.project_id AND i.id = u.issue_id
      ORDER BY i.project_id, i.id FOR NO KEY UPDATE OF i;
    FOR r IN SELECT * FROM unnest(v_project, v_environment, v_issues) u(project_id, environment_id, issue_id) ORDER BY u.project_id, u.issue_id LOOP
        BEGIN
            UPDATE monitor_environments SET resolve_at = NULL WHERE project_id = r.project_id AND id = r.environment_id;
            UPDATE issues SET is_resolved = true, is_muted = false, resolved_at = p_now
             WHERE project_id = r.project_id AND id = r.issue_id AND NOT is_resolved;
            IF FOUND THEN
                INSERT INTO issue_transitions (project_id, issue_id, kind, at) VALUES (r.project_id, r.issue_id, 'resolved', p_now);
            END IF;
        EXCEPTION WHEN OTHERS THEN
            IF monitor_fault_is_common(SQLSTATE) THEN
                RAISE;
            END IF;
            RAISE WARNING 'the issue of environment % of project % is looked at again in an hour: %', r.environment_id, r.project_id, SQLERRM;
            UPDATE monitor_environments SET resolve_look_at = p_now + interval '1 hour' WHERE project_id = r.project_id AND id = r.environment_id;
        END;
    END LOOP;
END $$;
