-- What a session counts does not depend on how its updates came: its end is the terminal update with the lowest seq, what is behind that is ignored (protocol
-- §7.1, rule 5), for users as for sessions, and release, environment, start and user are of the lowest seq that says them (rule 9). So a session's row has the
-- seq of each; what is lower replaces what is there, in any order and any number of batches, and an update that comes again changes nothing. What the session
-- counted before is then taken away, and what it counts now is added. Updates of the same seq are one moment: the worst end of it counts.
-- Null in a row of before, where there is something: it cannot be told any more, and stays.
ALTER TABLE session_states
    ADD COLUMN first_seq bigint,
    ADD COLUMN errored_seq bigint,  -- null: no error until the end
    ADD COLUMN end_seq bigint,
    ADD COLUMN user_seq bigint,     -- null: no user until the end
    ADD COLUMN user_hash uuid;
CREATE INDEX session_states_person ON session_states (project_id, user_hash) WHERE user_hash IS NOT NULL;
-- How many sessions and aggregates make somebody a user, and one with errors or crashes. Null in a row of before: one of each that is said, for good.
ALTER TABLE release_users
    ADD COLUMN n_sessions int,      -- 0: nobody, session_health.sql leaves it out
    ADD COLUMN n_errored int,
    ADD COLUMN n_crashed int,
    SET (fillfactor = 80);          -- each session of theirs changes it

-- As in 0025, but for that. Who calls it has the lock of the reports' projects (digest_reports), so that no other batch changes a session meanwhile.
CREATE OR REPLACE FUNCTION digest_store_sessions(v_project int[], v_report jsonb[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    FIRST CONSTANT bigint := -9223372036854775808;
    LAST  CONSTANT bigint := 9223372036854775807;
BEGIN
    IF NOT EXISTS (SELECT FROM unnest(v_project, v_report) x(project_id, report) WHERE x.project_id IS NOT NULL AND x.report->'sessions'->0 IS NOT NULL) THEN
        RETURN;
    END IF;
    WITH reports AS MATERIALIZED (
        SELECT x.project_id, x.report->>'release' AS release, x.report->>'environment' AS environment, x.report->'sessions' AS sessions
          FROM unnest(v_project, v_report) x(project_id, report) WHERE x.project_id IS NOT NULL),
    read AS MATERIALIZED (
        SELECT r.project_id, (s.v->>'sid')::uuid AS sid, coalesce(r.release, s.v->>'release') AS release,
               coalesce(r.environment, s.v->>'environment') AS environment, to_timestamp((s.v->>'at')::bigint) AS at, (s.v->>'user')::uuid AS user_hash,
               (s.v->>'seq')::bigint AS seq, coalesce((s.v->>'total')::bigint, 0) AS total, coalesce((s.v->>'exited')::bigint, 0) AS exited,
               coalesce((s.v->>'errored')::bigint, 0) AS errored, coalesce((s.v->>'abnormal')::bigint, 0) AS abnormal,
               coalesce((s.v->>'unhandled')::bigint, 0) AS unhandled, coalesce((s.v->>'crashed')::bigint, 0) AS crashed
          FROM reports r CROSS JOIN LATERAL jsonb_array_elements(r.sessions) s(v)),
    before AS MATERIALIZED (
        SELECT b.project_id, b.sid, b.release, b.environment, b.started_at, b.is_counted, b.errored, b.status, b.user_hash, b.user_seq,
               coalesce(b.first_seq, FIRST) AS first_seq, CASE WHEN b.errored THEN coalesce(b.errored_seq, FIRST) END AS errored_seq,
               CASE WHEN b.status > 0 THEN coalesce(b.end_seq, FIRST) END AS end_seq
          FROM session_states b JOIN (SELECT DISTINCT project_id, sid FROM read WHERE sid IS NOT NULL) u USING (project_id, sid)),
    said AS (
        SELECT project_id, sid, release, environment, started_at, is_counted, status, user_hash, first_seq, errored_seq, end_seq, user_seq FROM before
         UNION ALL
        SELECT project_id, sid, release, environment, at, total > 0, e.status, user_hash, seq, CASE WHEN errored > 0 THEN seq END,
               CASE WHEN e.status > 0 THEN seq END, CASE WHEN user_hash IS NOT NULL THEN seq END
          FROM read
         CROSS JOIN LATERAL (SELECT CASE WHEN crashed > 0 THEN 2 WHEN abnormal > 0 THEN 3 WHEN unhandled > 0 THEN 4 WHEN exited > 0 THEN 1 ELSE 0 END) e(status)
         WHERE sid IS NOT NULL),
    merged AS (
        SELECT project_id, sid, (array_agg(release ORDER BY first_seq, release, environment, started_at))[1] AS release,
               (array_agg(environment ORDER BY first_seq, release, environment, started_at))[1] AS environment,
               (array_agg(started_at ORDER BY first_seq, release, environment, started_at))[1] AS started_at,
               bool_or(is_counted) AS is_counted, min(first_seq) AS first_seq, min(errored_seq) AS errored_seq, min(end_seq) AS end_seq,
               min(user_seq) AS user_seq, (array_agg(user_hash ORDER BY user_seq, user_hash) FILTER (WHERE user_seq IS NOT NULL))[1] AS user_hash,
               coalesce((array_agg(status ORDER BY end_seq, nullif(status, 1)) FILTER (WHERE status > 0))[1], 0)::smallint AS status
          FROM said GROUP BY project_id, sid),
    after AS MATERIALIZED (
        INSERT INTO session_states AS t (project_id, sid, release, environment, started_at, is_counted, errored, status, updated_at,
                                         first_seq, errored_seq, end_seq, user_seq, user_hash)
        SELECT m.project_id, m.sid, m.release, m.environment, m.started_at, m.is_counted, u.errored, m.status, now(),
               m.first_seq, CASE WHEN u.errored THEN m.errored_seq END, m.end_seq, CASE WHEN u.is_known THEN m.user_seq END,
               CASE WHEN u.is_known THEN m.user_hash END
          FROM merged m
         CROSS JOIN LATERAL (SELECT coalesce(m.errored_seq <= coalesce(m.end_seq, LAST), false), m.user_seq <= coalesce(m.end_seq, LAST)) u(errored, is_known)
         ORDER BY m.project_id, m.sid
            ON CONFLICT (project_id, sid) DO UPDATE
           SET release = excluded.release, environment = excluded.environment, started_at = excluded.started_at, is_counted = excluded.is_counted,
               errored = excluded.errored, status = excluded.status, updated_at = excluded.updated_at, first_seq = excluded.first_seq,
               errored_seq = excluded.errored_seq, end_seq = excluded.end_seq, user_seq = excluded.user_seq, user_hash = excluded.user_hash
        RETURNING t.*),
    changes AS MATERIALIZED (
        SELECT s.project_id, s.release, s.environment, date_trunc('hour', s.started_at, 'UTC') AS hour, s.user_hash, s.sign AS n,
               s.sign * s.is_counted::int AS total, s.sign * (s.status = 1)::int AS exited, s.sign * s.errored::int AS errored,
               s.sign * (s.status = 3)::int AS abnormal, s.sign * (s.status = 4)::int AS unhandled, s.sign * (s.status = 2)::int AS crashed
          FROM (SELECT project_id, release, environment, started_at, user_hash, is_counted, errored, status, 1 AS sign FROM after
                 UNION ALL
                SELECT project_id, release, environment, started_at, user_hash, is_counted, errored, status, -1 FROM before) s
         UNION ALL
        SELECT project_id, release, environment, date_trunc('hour', at, 'UTC'), user_hash, 1, total, exited, errored, abnormal, unhandled, crashed
          FROM read WHERE sid IS NULL),
    -- Nothing is taken away where retention has taken the row.
    users AS (
        INSERT INTO release_users AS u (project_id, release, environment, hour, user_hash, errored, crashed, n_sessions, n_errored, n_crashed)
        SELECT c.project_id, c.release, c.environment, c.hour, c.user_hash, c.n_errored > 0, c.n_crashed > 0, c.n, c.n_errored, c.n_crashed
          FROM (SELECT project_id, release, environment, hour, user_hash, sum(n) AS n, sum(sign(errored)) AS n_errored, sum(sign(crashed)) AS n_crashed
                  FROM changes WHERE user_hash IS NOT NULL GROUP BY 1, 2, 3, 4, 5) c
         WHERE (c.n, c.n_errored, c.n_crashed) <> (0, 0, 0)
           AND (least(c.n - 1, c.n_errored, c.n_crashed) >= 0
                OR EXISTS (SELECT FROM release_users b
                            WHERE (b.project_id, b.release, b.environment, b.hour, b.user_hash) = (c.project_id, c.release, c.environment, c.hour, c.user_hash)))
         ORDER BY 1, 2, 3, 4, 5
            ON CONFLICT (project_id, release, environment, hour, user_hash) DO UPDATE
           SET n_sessions = coalesce(u.n_sessions, 1) + excluded.n_sessions,
               n_errored = coalesce(u.n_errored, u.errored::int) + excluded.n_errored,
               n_crashed = coalesce(u.n_crashed, u.crashed::int) + excluded.n_crashed,
               errored = coalesce(u.n_errored, u.errored::int) + excluded.n_errored > 0,
               crashed = coalesce(u.n_crashed, u.crashed::int) + excluded.n_crashed > 0)
    INSERT INTO release_hours AS h (project_id, release, environment, hour, total, exited, errored, abnormal, unhandled, crashed)
    SELECT c.*
      FROM (SELECT project_id, release, environment, hour, sum(total) AS total, sum(exited) AS exited, sum(errored) AS errored, sum(abnormal) AS abnormal,
                   sum(unhandled) AS unhandled, sum(crashed) AS crashed
              FROM changes GROUP BY 1, 2, 3, 4) c
     WHERE (c.total, c.exited, c.errored, c.abnormal, c.unhandled, c.crashed) <> (0, 0, 0, 0, 0, 0)
       AND (least(c.total, c.exited, c.errored, c.abnormal, c.unhandled, c.crashed) >= 0
            OR EXISTS (SELECT FROM release_hours b WHERE (b.project_id, b.release, b.environment, b.hour) = (c.project_id, c.release, c.environment, c.hour)))
     ORDER BY 1, 2, 3, 4
        ON CONFLICT (project_id, release, environment, hour) DO UPDATE
       SET total = h.total + excluded.total, exited = h.exited + excluded.exited, errored = h.errored + excluded.errored,
           abnormal = h.abnormal + excluded.abnormal, unhandled = h.unhandled + excluded.unhandled, crashed = h.crashed + excluded.crashed;
END $$;

-- Whoever is to be erased goes from sessions, too, which then count no user that could be taken away. Sessions that a batch has in hand are left for the next
-- run: a request stays open for a day at least.
ALTER FUNCTION erasure_tidy(timestamptz, int, boolean) RENAME TO erasure_tidy_stored;
CREATE FUNCTION erasure_tidy(p_now timestamptz, p_limit int, p_scanned boolean) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_gone bigint;
BEGIN
    WITH found AS MATERIALIZED (
        SELECT s.project_id, s.sid
          FROM erasures e JOIN session_states s ON s.project_id = e.project_id AND s.user_hash = erasure_user_hash(e.project_id, e.key)
         WHERE e.forgotten_at IS NULL AND e.horizon >= 0 AND s.started_at < e.requested_at
         LIMIT p_limit FOR UPDATE OF s SKIP LOCKED)
    UPDATE session_states s SET user_hash = NULL, user_seq = NULL FROM found f WHERE s.project_id = f.project_id AND s.sid = f.sid;
    GET DIAGNOSTICS v_gone = ROW_COUNT;
    RETURN CASE WHEN v_gone > 0 THEN v_gone ELSE erasure_tidy_stored(p_now, p_limit, p_scanned) END;
END $$;
