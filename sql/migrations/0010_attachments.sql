-- Attachments (protocol §3.1): what describes them. Their bytes are files named by their SHA-256 (src/blob), which are there before a row names them
-- and go after the last one is gone (src/digest/sweep.c).

-- The event may come before, with or after its attachments, or never; several of one event may have the same name.
CREATE TABLE attachments (
    project_id      int NOT NULL REFERENCES projects ON DELETE CASCADE,
    id              uuid NOT NULL,              -- UUIDv7 of the receipt
    event_id        uuid NOT NULL,              -- the SDK's id of the event that it belongs to
    received_at     timestamptz NOT NULL,
    sha256          bytea NOT NULL CHECK (octet_length(sha256) = 32),
    size            bigint NOT NULL,
    name            text NOT NULL,
    content_type    text NOT NULL,              -- '': not known
    attachment_type text NOT NULL,
    PRIMARY KEY (project_id, id)
);
CREATE INDEX attachments_event ON attachments (project_id, event_id);
CREATE INDEX attachments_file ON attachments (project_id, sha256);

CREATE FUNCTION digest_store_attachments(v_project int[], x_id uuid[], x_event_id uuid[], x_received timestamptz[], v_report jsonb[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO attachments (project_id, id, event_id, received_at, sha256, size, name, content_type, attachment_type)
    SELECT x.project_id, x.id, x.event_id, x.received_at, decode(a.v->>'sha256', 'hex'), (a.v->>'size')::bigint, a.v->>'name',
           a.v->>'content_type', a.v->>'attachment_type'
      FROM unnest(v_report, v_project, x_id, x_event_id, x_received) x(report, project_id, id, event_id, received_at)
     CROSS JOIN LATERAL (SELECT x.report->'attachment' AS v) a
     WHERE x.project_id IS NOT NULL AND a.v IS NOT NULL
     ORDER BY x.project_id, x.id
        ON CONFLICT DO NOTHING;
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
    PERFORM digest_store_cases(v_report);
    PERFORM digest_store_outcomes(v_project, x_key, v_report); -- last: its rows are everybody's
END $$;

-- Attachments go when the events of their day may: by their project's days (retention_rules); and with the events of erased persons (0009), as
-- long as those can be asked whose they are. Some rows at a call.
CREATE FUNCTION retention_attachments_due(p_now timestamptz, p_days int) RETURNS TABLE (project_id int, id uuid, size bigint) LANGUAGE sql STABLE AS $$
    SELECT a.project_id, a.id, a.size
      FROM retention_rules(p_now, p_days, NULL) r
      JOIN attachments a ON a.project_id = r.project_id AND a.id < uuid7_floor(r.first_day::timestamp AT TIME ZONE 'UTC')
     UNION
    SELECT a.project_id, a.id, a.size
      FROM erasure_rows x
      JOIN events e ON e.project_id = x.project_id AND e.id = x.id
      JOIN attachments a ON a.project_id = e.project_id AND a.event_id = e.event_id
$$;
CREATE FUNCTION retention_attachments(p_now timestamptz, p_days int, p_limit int) RETURNS TABLE (rows bigint, bytes bigint) LANGUAGE sql AS $$
    WITH gone AS (
        DELETE FROM attachments a USING (SELECT d.project_id, d.id FROM retention_attachments_due(p_now, p_days) d LIMIT p_limit) o
         WHERE a.project_id = o.project_id AND a.id = o.id RETURNING a.size)
    SELECT count(*), coalesce(sum(size), 0)::bigint FROM gone
$$;
