-- What comes with feedback (protocol §7.3) is kept: platform, SDK, request, tags, user and contexts, as src/event/feedback.c reads them. Only who looks at one
-- piece of feedback is shown that; lists do not read it.
ALTER TABLE feedback ADD COLUMN data jsonb;     -- null: a user report, or stored by an earlier release

CREATE OR REPLACE FUNCTION digest_store_feedback(v_project int[], x_id uuid[], x_received timestamptz[], v_report jsonb[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO feedback (project_id, id, feedback_id, event_id, received_at, name, email, message, url, source, release, environment, data)
    SELECT x.project_id, x.id, (f.v->>'id')::uuid, (f.v->>'event_id')::uuid, x.received_at, f.v->>'name', f.v->>'email', f.v->>'message',
           f.v->>'url', f.v->>'source', f.v->>'release', f.v->>'environment', f.v->'data'
      FROM unnest(v_report, v_project, x_id, x_received) x(report, project_id, id, received_at)
     CROSS JOIN LATERAL (SELECT x.report->'feedback' AS v) f
     WHERE x.project_id IS NOT NULL AND f.v IS NOT NULL
     ORDER BY x.project_id, x.id
        ON CONFLICT DO NOTHING;
END $$;

-- ---- whose it is

-- By what somebody can be known in a project, each null or a text, so that what is equal here is what src/event/person.c takes for the same. Calls nothing
-- of ours: an index is made of it.
CREATE FUNCTION person_keys(p_project int, p_id text, p_email text, p_username text, p_address text) RETURNS text[] LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    v_blanks  text := E' \t\r\n';
    v_address text;
BEGIN
    IF p_address IS NOT NULL AND p_address !~ '/' THEN
        BEGIN
            v_address := regexp_replace(host(btrim(p_address, v_blanks)::inet), '^::ffff:(?=[0-9]+[.])', '');
        EXCEPTION WHEN data_exception THEN
            NULL; -- no address
        END;
    END IF;
    RETURN array_remove(ARRAY[p_project || ':id:' || btrim(p_id, v_blanks), p_project || ':email:' || lower(btrim(p_email, v_blanks)),
                              p_project || ':username:' || btrim(p_username, v_blanks), p_project || ':ip:' || v_address], NULL);
END $$;

-- Beside feedback_person (0017), which has the address that was left.
CREATE INDEX feedback_user ON feedback USING gin (person_keys(project_id, data #>> '{user,id}', data #>> '{user,email}', data #>> '{user,username}',
                                                              data #>> '{user,ip_address}')) WHERE data ? 'user';

-- Where the feedback is that such a request means, at most p_limit (null: all): so that what deletes it and what only counts it agree.
CREATE FUNCTION erasure_due_feedback(p_project int, p_field text, p_key text, p_before timestamptz, p_limit bigint) RETURNS SETOF tid LANGUAGE plpgsql STABLE
    SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    v_keys text[] := person_keys(p_project, CASE WHEN p_field IN ('any', 'id') THEN p_key END, CASE WHEN p_field IN ('any', 'email') THEN p_key END,
                                 CASE WHEN p_field IN ('any', 'username') THEN p_key END, CASE WHEN p_field IN ('any', 'ip') THEN p_key END);
BEGIN
    RETURN QUERY
    SELECT o.place
      FROM (SELECT f.ctid AS place FROM feedback f
             WHERE p_field IN ('any', 'email') AND f.project_id = p_project AND lower(f.email) = lower(p_key) AND f.received_at < p_before
             UNION
            SELECT f.ctid FROM feedback f
             WHERE f.data ? 'user' AND f.project_id = p_project AND f.received_at < p_before
               AND person_keys(f.project_id, f.data #>> '{user,id}', f.data #>> '{user,email}', f.data #>> '{user,username}', f.data #>> '{user,ip_address}') && v_keys) o
     LIMIT p_limit;
END $$;

-- As in 0017, but that feedback is found by all that is known of who wrote it.
CREATE OR REPLACE FUNCTION erasure_tidy(p_now timestamptz, p_limit int, p_scanned boolean) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_today  uuid := uuid7_floor(date_trunc('day', p_now, 'UTC'));
    v_open   record;
    v_events bigint := 0;
    v_left   bigint := p_limit;
    v_gone   bigint;
    v_bytes  bigint;
BEGIN
    FOR v_open IN SELECT * FROM erasures WHERE forgotten_at IS NULL AND horizon >= 0 ORDER BY id LOOP
        EXIT WHEN v_left <= 0;
        WITH gone AS (
            DELETE FROM feedback
             WHERE ctid IN (SELECT d.place FROM erasure_due_feedback(v_open.project_id, v_open.field, v_open.key, v_open.requested_at, v_left) d(place))
            RETURNING pg_column_size(feedback.*) AS bytes)
        SELECT count(*), coalesce(sum(bytes), 0) INTO v_gone, v_bytes FROM gone;
        UPDATE erasures SET feedback = feedback + v_gone, bytes = bytes + v_bytes WHERE id = v_open.id AND v_gone > 0;
        v_left := v_left - v_gone;
        WITH gone AS (
            DELETE FROM release_users WHERE ctid IN (
                SELECT u.ctid FROM release_users u
                 WHERE u.project_id = v_open.project_id AND u.user_hash = erasure_user_hash(v_open.project_id, v_open.key)
                   AND u.hour < v_open.requested_at LIMIT v_left)
            RETURNING pg_column_size(release_users.*) AS bytes)
        SELECT count(*), coalesce(sum(bytes), 0) INTO v_gone, v_bytes FROM gone;
        UPDATE erasures SET session_users = session_users + v_gone, bytes = bytes + v_bytes WHERE id = v_open.id AND v_gone > 0;
        v_left := v_left - v_gone;
    END LOOP;
    IF v_left < p_limit THEN
        RETURN p_limit - v_left; -- lets go of these rows: who has counters may wait for them, and below counters are waited for
    END IF;

    -- Events of one project: nobody who has its counter waits for another one.
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

    IF v_events = 0 THEN
        UPDATE erasures e SET done_at = p_now
         WHERE e.done_at IS NULL AND e.horizon >= 0 AND NOT EXISTS (SELECT FROM erasure_rows r WHERE r.erasure_id = e.id);
        UPDATE erasures e SET field = 'any', key = '', forgotten_at = p_now
         WHERE p_scanned AND e.heard AND e.scanned_at >= e.done_at + interval '1 day' AND e.forgotten_at IS NULL
           AND NOT EXISTS (SELECT FROM erasure_rows r WHERE r.erasure_id = e.id);
        DELETE FROM erasure_rows r WHERE NOT EXISTS (SELECT FROM erasures e WHERE e.id = r.erasure_id); -- its project is gone
        DELETE FROM erasure_servers s WHERE s.heard_until < p_now - interval '30 days'; -- who is there tells it again
    END IF;
    RETURN v_events;
END $$;
