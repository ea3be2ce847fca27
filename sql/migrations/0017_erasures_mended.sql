-- Erasures (0009) that forget too early or in each other's way, and retention's tidying (0003) that could wait for a batch that waits for it.
--
-- A request forgets whom it was about when nothing of that person can come any more: what was received before the request is stored everywhere, and
-- looked at. Two things say so together:
--
--   heard       at the beginning of a scan that succeeded, every server had stored all that it took before the request (erasure_servers). A server
--               is one that stored anything in the last 30 days (digest_batches): one that is away, with a backlog, is waited for as long
--   scanned_at  such a scan was a day or more after the request was done, as what a server cannot tell (a clock, a letter retried) needs room
--
-- and the run itself must have looked, too: one whose scan failed forgets nothing.
ALTER TABLE erasures
    ADD scanned_at timestamptz,                 -- when the last scan that succeeded took its horizon
    ADD heard      boolean NOT NULL DEFAULT false;

-- Until when all that a server took is stored, told when there is a request that waits for it (src/digest/monitors.c knows it every second).
CREATE TABLE erasure_servers (
    node        uuid PRIMARY KEY,               -- of its spool
    heard_until timestamptz NOT NULL
);

-- One write for each request and server: what it told before is enough for the others. A clock that was set back is believed.
CREATE FUNCTION erasure_hear(p_node uuid, p_heard timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM erasures e LEFT JOIN erasure_servers s ON s.node = p_node
                WHERE e.forgotten_at IS NULL AND e.requested_at < p_heard
                  AND (s.node IS NULL OR s.heard_until <= e.requested_at OR s.heard_until > p_heard)) THEN
        INSERT INTO erasure_servers VALUES (p_node, p_heard) ON CONFLICT (node) DO UPDATE SET heard_until = excluded.heard_until;
    END IF;
END $$;

-- All that any server took until then is stored. infinity: no server stored anything lately; -infinity: one has told nothing yet.
CREATE FUNCTION erasure_heard_until() RETURNS timestamptz LANGUAGE sql STABLE AS $$
    WITH RECURSIVE nodes(node) AS ( -- the few distinct ones, each by the index
        (SELECT b.node FROM digest_batches b ORDER BY b.node LIMIT 1)
         UNION ALL
        SELECT (SELECT b.node FROM digest_batches b WHERE b.node > n.node ORDER BY b.node LIMIT 1) FROM nodes n WHERE n.node IS NOT NULL)
    SELECT coalesce(min(coalesce(s.heard_until, '-infinity')), 'infinity')
      FROM nodes n LEFT JOIN erasure_servers s ON s.node = n.node WHERE n.node IS NOT NULL
$$;

-- What a server asks once a second: what its monitors need, and what it tells erasures.
CREATE FUNCTION server_tick(p_node uuid, p_now timestamptz, p_since timestamptz, p_heard timestamptz, p_limit int)
RETURNS TABLE (ret_project int, ret_id uuid, ret_event_id uuid, ret_made_at timestamptz, ret_payload text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM erasure_hear(p_node, p_heard);
    RETURN QUERY SELECT * FROM monitor_tick(p_node, p_now, p_since, p_heard, p_limit);
END $$;

-- ---- tidying

-- Each request looks for its rows at every run.
CREATE INDEX feedback_person ON feedback (project_id, lower(email));
CREATE INDEX release_users_person ON release_users (project_id, user_hash);

-- Rows that are deleted, at most p_limit at a call: how many went. None: requests that were worked off are done and, if this run has looked through
-- everything (p_scanned), old ones forget. Called alone in its transaction: it locks what batches wait for.
CREATE FUNCTION erasure_tidy(p_now timestamptz, p_limit int, p_scanned boolean) RETURNS bigint LANGUAGE plpgsql AS $$
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
        IF v_open.field IN ('any', 'email') THEN
            WITH gone AS (
                DELETE FROM feedback WHERE ctid IN (
                    SELECT f.ctid FROM feedback f
                     WHERE f.project_id = v_open.project_id AND lower(f.email) = lower(v_open.key) AND f.received_at < v_open.requested_at LIMIT v_left)
                RETURNING pg_column_size(feedback.*) AS bytes)
            SELECT count(*), coalesce(sum(bytes), 0) INTO v_gone, v_bytes FROM gone;
            UPDATE erasures SET feedback = feedback + v_gone, bytes = bytes + v_bytes WHERE id = v_open.id AND v_gone > 0;
            v_left := v_left - v_gone;
        END IF;
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

-- What the release before calls: it cannot tell whether it has looked.
CREATE OR REPLACE FUNCTION erasure_tidy(p_now timestamptz, p_limit int) RETURNS bigint LANGUAGE sql AS $$
    SELECT erasure_tidy(p_now, p_limit, false)
$$;

-- As in 0003, but for what is beside the days, which has a function of its own.
CREATE OR REPLACE FUNCTION retention_tidy(p_now timestamptz, p_days int, p_limit int) RETURNS bigint LANGUAGE plpgsql AS $$
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
    RETURN v_all + v_gone;
END $$;

-- What a jumping clock put beside the days. Counters are locked in the order of their projects, as batches lock them; called alone in its
-- transaction, which holds nothing but those rows when it waits for a counter, and ends when it has them.
CREATE FUNCTION retention_tidy_strays(p_now timestamptz, p_days int, p_limit int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_gone  bigint;
    v_until timestamptz;
BEGIN
    SELECT date_trunc('day', p_now, 'UTC') - make_interval(days => greatest(p_days, coalesce(max(retention_days), 0))) INTO v_until FROM projects;
    WITH gone AS (
        DELETE FROM events_default e USING (SELECT project_id, id FROM events_default WHERE received_at < v_until LIMIT p_limit) o
         WHERE e.project_id = o.project_id AND e.id = o.id RETURNING e.project_id),
    sums AS MATERIALIZED (SELECT project_id, count(*) AS n FROM gone GROUP BY project_id),
    held AS MATERIALIZED (
        SELECT c.project_id FROM project_counters c WHERE c.project_id IN (SELECT project_id FROM sums) ORDER BY c.project_id FOR NO KEY UPDATE),
    counted AS (
        UPDATE project_counters c SET stored = c.stored - s.n FROM held h JOIN sums s ON s.project_id = h.project_id
         WHERE c.project_id = h.project_id)
    SELECT coalesce(sum(n), 0) INTO v_gone FROM sums;
    RETURN v_gone;
END $$;
