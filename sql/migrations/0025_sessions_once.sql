-- A report of sessions (src/event/session.c) says release and environment once, not with each session, and leaves out what is nothing: a thousand sessions of some
-- bytes each are a report of about that size. Those of the release before say all of it with each session. digest_sessions (0005) is left for batches that are
-- stored while this is run.
CREATE OR REPLACE FUNCTION digest_store_sessions(v_project int[], v_report jsonb[]) RETURNS void LANGUAGE plpgsql AS $$
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
    updates AS MATERIALIZED (
        SELECT project_id, sid, (array_agg(release ORDER BY seq))[1] AS release, (array_agg(environment ORDER BY seq))[1] AS environment,
               min(at) AS started_at, bool_or(total > 0) AS is_counted, bool_or(errored > 0) AS errored,
               coalesce((array_agg(CASE WHEN crashed > 0 THEN 2 WHEN abnormal > 0 THEN 3 WHEN unhandled > 0 THEN 4 ELSE 1 END ORDER BY seq)
                          FILTER (WHERE exited + crashed + abnormal + unhandled > 0))[1], 0)::smallint AS status
          FROM read WHERE sid IS NOT NULL GROUP BY project_id, sid),
    before AS MATERIALIZED (SELECT b.* FROM updates u JOIN session_states b USING (project_id, sid)),
    after AS MATERIALIZED (
        INSERT INTO session_states AS t (project_id, sid, release, environment, started_at, is_counted, errored, status, updated_at)
        SELECT u.project_id, u.sid, u.release, u.environment, u.started_at, u.is_counted, u.errored, u.status, now() FROM updates u
         ORDER BY u.project_id, u.sid
            ON CONFLICT (project_id, sid) DO UPDATE
           SET is_counted = t.is_counted OR excluded.is_counted,
               errored = t.errored OR (excluded.errored AND t.status = 0),  -- after its end nothing changes any more
               status = CASE WHEN t.status = 0 THEN excluded.status ELSE t.status END, updated_at = excluded.updated_at
        RETURNING t.*),
    changes AS (
        SELECT a.project_id, a.release, a.environment, a.started_at AS at, (a.is_counted AND b.is_counted IS NOT TRUE)::int AS total,
               (a.errored AND b.errored IS NOT TRUE)::int AS errored, (a.status = 1 AND b.status IS DISTINCT FROM 1)::int AS exited,
               (a.status = 2 AND b.status IS DISTINCT FROM 2)::int AS crashed, (a.status = 3 AND b.status IS DISTINCT FROM 3)::int AS abnormal,
               (a.status = 4 AND b.status IS DISTINCT FROM 4)::int AS unhandled
          FROM after a LEFT JOIN before b USING (project_id, sid)
         UNION ALL
        SELECT project_id, release, environment, at, total, errored, exited, crashed, abnormal, unhandled FROM read WHERE sid IS NULL),
    users AS (
        INSERT INTO release_users AS u (project_id, release, environment, hour, user_hash, errored, crashed)
        SELECT project_id, release, environment, date_trunc('hour', at, 'UTC'), user_hash, bool_or(errored > 0), bool_or(crashed > 0)
          FROM read WHERE user_hash IS NOT NULL
         GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
            ON CONFLICT (project_id, release, environment, hour, user_hash) DO UPDATE
           SET errored = u.errored OR excluded.errored, crashed = u.crashed OR excluded.crashed
         WHERE (excluded.errored AND NOT u.errored) OR (excluded.crashed AND NOT u.crashed))
    INSERT INTO release_hours AS h (project_id, release, environment, hour, total, exited, errored, abnormal, unhandled, crashed)
    SELECT project_id, release, environment, date_trunc('hour', at, 'UTC'), sum(total), sum(exited), sum(errored), sum(abnormal), sum(unhandled),
           sum(crashed)
      FROM changes GROUP BY 1, 2, 3, 4
    HAVING sum(total) + sum(exited) + sum(errored) + sum(abnormal) + sum(unhandled) + sum(crashed) > 0
     ORDER BY 1, 2, 3, 4
        ON CONFLICT (project_id, release, environment, hour) DO UPDATE
       SET total = h.total + excluded.total, exited = h.exited + excluded.exited, errored = h.errored + excluded.errored,
           abnormal = h.abnormal + excluded.abnormal, unhandled = h.unhandled + excluded.unhandled, crashed = h.crashed + excluded.crashed;
END $$;
