-- digest_reports_store (0005) in parts: one function for each kind of item, so that a new kind is a function of its own and one line in the list.
-- x_* as in digest_reports; v_project is null where the project is gone, v_report is what src/event read.

CREATE FUNCTION digest_store_sessions(v_project int[], v_report jsonb[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    s_project int[];
    s_session jsonb[];
BEGIN
    SELECT array_agg(x.project_id), array_agg(e.v)
      INTO s_project, s_session
      FROM unnest(v_report, v_project) x(report, project_id) CROSS JOIN LATERAL jsonb_array_elements(x.report->'sessions') e(v)
     WHERE x.project_id IS NOT NULL;
    IF s_project IS NOT NULL THEN
        PERFORM digest_sessions(now(), s_project, s_session);
    END IF;
END $$;

CREATE FUNCTION digest_store_feedback(v_project int[], x_id uuid[], x_received timestamptz[], v_report jsonb[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO feedback (project_id, id, feedback_id, event_id, received_at, name, email, message, url, source, release, environment)
    SELECT x.project_id, x.id, (f.v->>'id')::uuid, (f.v->>'event_id')::uuid, x.received_at, f.v->>'name', f.v->>'email', f.v->>'message',
           f.v->>'url', f.v->>'source', f.v->>'release', f.v->>'environment'
      FROM unnest(v_report, v_project, x_id, x_received) x(report, project_id, id, received_at)
     CROSS JOIN LATERAL (SELECT x.report->'feedback' AS v) f
     WHERE x.project_id IS NOT NULL AND f.v IS NOT NULL
     ORDER BY x.project_id, x.id
        ON CONFLICT DO NOTHING;
END $$;

CREATE FUNCTION digest_store_cases(v_report jsonb[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO outcome_cases (project_id, at, category, outcome, reason, key_id, quantity, bytes, client, event_id)
    SELECT p.id, (c.v->>'at')::timestamptz, (c.v->>'c')::smallint, (c.v->>'o')::smallint, c.v->>'r', (c.v->>'k')::bigint, (c.v->>'n')::bigint,
           (c.v->>'bytes')::bigint, c.v->>'client', (c.v->>'event_id')::uuid
      FROM unnest(v_report) x(report) CROSS JOIN LATERAL jsonb_array_elements(x.report->'cases') c(v)
      JOIN projects p ON p.id = (c.v->>'p')::bigint
     ORDER BY (c.v->>'at')::timestamptz;
    DELETE FROM outcome_cases c
     USING (SELECT d.project_id, (SELECT o.id FROM outcome_cases o WHERE o.project_id = d.project_id ORDER BY o.id DESC OFFSET 200 LIMIT 1) AS last
              FROM (SELECT DISTINCT (c.v->>'p')::int AS project_id
                      FROM unnest(v_report) x(report) CROSS JOIN LATERAL jsonb_array_elements(x.report->'cases') c(v)) d) old
     WHERE c.project_id = old.project_id AND c.id <= old.last;
END $$;

-- Items say their own key and project by their record, the door's account line by line.
CREATE FUNCTION digest_store_outcomes(v_project int[], x_key bigint[], v_report jsonb[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO outcomes AS o (project_id, hour, category, outcome, reason, key_id, quantity)
    SELECT t.project_id, t.hour, t.category, t.outcome, t.reason, t.key_id, sum(t.quantity)
      FROM (SELECT coalesce((e.v->>'p')::int, x.project_id) AS project_id, date_trunc('hour', to_timestamp((e.v->>'h')::bigint), 'UTC') AS hour,
                   (e.v->>'c')::smallint AS category, (e.v->>'o')::smallint AS outcome, e.v->>'r' AS reason,
                   coalesce((e.v->>'k')::bigint, x.key_id) AS key_id, (e.v->>'n')::bigint AS quantity
              FROM unnest(v_report, v_project, x_key) x(report, project_id, key_id)
             CROSS JOIN LATERAL jsonb_array_elements(x.report->'outcomes') e(v)) t
      JOIN projects p ON p.id = t.project_id
     GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6
        ON CONFLICT (project_id, hour, category, outcome, reason, key_id) DO UPDATE SET quantity = o.quantity + excluded.quantity;
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
    PERFORM digest_store_cases(v_report);
    PERFORM digest_store_outcomes(v_project, x_key, v_report); -- last: its rows are everybody's
END $$;
