-- What a record that is no event was stored by is forgotten 8 days after its receipt, and a backlog may be older than that: its notes were due at once, and
-- where the answer to a COMMIT was lost just then, the second try counted the records again. So a note stays a day after it was made, too.
ALTER TABLE report_ids ADD COLUMN noted_at timestamptz NOT NULL DEFAULT now();

CREATE OR REPLACE FUNCTION retention_due_report_ids(p_now timestamptz, p_limit int) RETURNS SETOF tid LANGUAGE sql STABLE AS $$
    SELECT r.ctid FROM report_ids r WHERE r.id < uuid7_floor(p_now - interval '8 days') AND r.noted_at < p_now - interval '1 day' ORDER BY r.id LIMIT p_limit
$$;
