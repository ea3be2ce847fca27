-- Issues that are deleted (R15). An issue's row goes at once, and with it its groupings, hours and transitions, so that the next event of its kind makes a
-- new issue. Its events have no key to it: what has no grouping is of no issue, and nothing shows it. Such rows go with the next rewriting of their day,
-- which is due when they are a tenth of the day, or a week later; their attachments follow them as those of other events do.
CREATE TABLE issue_leavings (
    project_id int NOT NULL,                    -- no foreign key: a project's rows go by themselves when it does
    day        date NOT NULL,
    rows       bigint NOT NULL,                 -- by the issues' hours; retention may have taken some before
    since      timestamptz NOT NULL DEFAULT now(), -- the first of them
    noted_at   timestamptz NOT NULL DEFAULT now(), -- the last
    PRIMARY KEY (project_id, day));
CREATE INDEX issue_leavings_day ON issue_leavings (day);
CREATE INDEX issue_transitions_issue ON issue_transitions (project_id, issue_id); -- for what a deletion brings along

-- Which of them were there. The project's turn is what batches wait for before they lock issues: who comes first goes first.
CREATE FUNCTION issues_delete(p_project int, p_issues uuid[]) RETURNS SETOF uuid LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM project_turns t WHERE t.project_id = p_project FOR NO KEY UPDATE;
    PERFORM FROM issues i WHERE i.project_id = p_project AND i.id = ANY (p_issues) ORDER BY i.id FOR UPDATE;
    INSERT INTO issue_leavings AS l (project_id, day, rows)
    SELECT h.project_id, (h.hour AT TIME ZONE 'UTC')::date, sum(h.events)
      FROM issue_hours h
     WHERE h.project_id = p_project AND h.issue_id = ANY (p_issues) AND to_regclass(events_day((h.hour AT TIME ZONE 'UTC')::date)) IS NOT NULL
     GROUP BY 1, 2
        ON CONFLICT (project_id, day) DO UPDATE SET rows = l.rows + excluded.rows, noted_at = excluded.noted_at;
    RETURN QUERY DELETE FROM issues i WHERE i.project_id = p_project AND i.id = ANY (p_issues) RETURNING i.id;
END $$;

-- ---- retention (0003, 0009, 0019), which knows of that now

CREATE OR REPLACE FUNCTION retention_due(p_now timestamptz, p_days int, p_per_issue int)
RETURNS TABLE (day date, stage smallint, drops boolean) LANGUAGE sql STABLE AS $$
    WITH rules AS MATERIALIZED (SELECT * FROM retention_rules(p_now, p_days, p_per_issue)),
    keep AS (SELECT coalesce(min(r.first_day), (p_now AT TIME ZONE 'UTC')::date - p_days) AS first_day FROM rules r),
    days AS (
        SELECT l.day, (p_now AT TIME ZONE 'UTC')::date - l.day AS age, coalesce(e.stage, 0) AS stage, e.rows
          FROM retention_days_list() l LEFT JOIN event_days e ON e.day = l.day),
    staged AS (
        SELECT d.*, (CASE WHEN d.age >= 31 THEN 3 WHEN d.age >= 8 THEN 2 WHEN d.age >= 2 THEN 1 ELSE 0 END)::smallint AS due_stage,
               (SELECT sum(p.rows + p.dropping) FILTER (WHERE r.project_id IS NULL) FROM event_day_projects p
                  LEFT JOIN rules r ON r.project_id = p.project_id WHERE p.day = d.day) AS orphans,
               coalesce((SELECT sum(p.rows + p.dropping) FROM event_day_projects p JOIN rules r ON r.project_id = p.project_id
                          WHERE p.day = d.day AND p.day < r.first_day), 0) +
               coalesce((SELECT sum(l.rows) FROM issue_leavings l WHERE l.day = d.day), 0) AS late,
               EXISTS (SELECT FROM event_day_projects p JOIN rules r ON r.project_id = p.project_id
                        WHERE p.day = d.day AND p.rows + p.dropping > 0 AND p.day < r.first_day - 7)
               OR EXISTS (SELECT FROM issue_leavings l WHERE l.day = d.day AND l.since < p_now - interval '7 days') AS overdue,
               d.age > 0 AND (EXISTS (SELECT FROM erasure_days e WHERE e.day = d.day)
                              OR EXISTS (SELECT FROM erasure_rows e WHERE e.id >= uuid7_floor(d.day::timestamp AT TIME ZONE 'UTC')
                                            AND e.id < uuid7_floor((d.day + 1)::timestamp AT TIME ZONE 'UTC'))) AS erased
          FROM days d)
    SELECT s.day, greatest(s.due_stage, s.stage)::smallint, s.day < k.first_day
      FROM staged s CROSS JOIN keep k
     WHERE s.erased OR (s.due_stage > 0
       AND (s.day < k.first_day OR s.due_stage > s.stage OR s.orphans > 0 OR s.overdue OR (s.late > 0 AND s.late * 10 >= s.rows)))
     ORDER BY s.day
$$;

CREATE OR REPLACE FUNCTION retention_judged(p_day date, p_horizon bigint, p_now timestamptz, p_days int, p_per_issue int)
RETURNS TABLE (project_id int, id uuid, bytes int, keep boolean) LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY EXECUTE format($q$
        WITH rules AS MATERIALIZED (SELECT * FROM retention_rules($2, $3, $4)),
        listed AS (
            SELECT e.project_id, e.id, g.issue_id, octet_length(e.payload) + 250 AS bytes,
                   r.project_id IS NOT NULL AND $1 >= r.first_day AND x.id IS NULL AND g.issue_id IS NOT NULL AS keep,
                   r.per_issue, row_number() OVER w AS rank, count(*) OVER (PARTITION BY e.project_id, g.issue_id, x.id IS NULL) AS of
              FROM %I e
              LEFT JOIN rules r ON r.project_id = e.project_id
              LEFT JOIN groupings g ON g.project_id = e.project_id AND g.id = e.grouping_id
              LEFT JOIN erasure_rows x ON x.project_id = e.project_id AND x.id = e.id
             WHERE e.batch_id <= $5
            WINDOW w AS (PARTITION BY e.project_id, g.issue_id, x.id IS NULL ORDER BY e.id)),
        noisy AS (
            SELECT h.project_id, h.issue_id, sum(h.events) AS total,
                   sum(h.events) FILTER (WHERE h.hour >= $1::timestamp AT TIME ZONE 'UTC' AND h.hour < ($1 + 1)::timestamp AT TIME ZONE 'UTC') AS here
              FROM (SELECT DISTINCT l.project_id, l.issue_id FROM listed l WHERE l.of > 2 AND l.per_issue IS NOT NULL) l
              JOIN issue_hours h ON h.project_id = l.project_id AND h.issue_id = l.issue_id
              JOIN rules r ON r.project_id = h.project_id
             WHERE h.hour >= r.first_day::timestamp AT TIME ZONE 'UTC'
             GROUP BY h.project_id, h.issue_id, r.per_issue HAVING sum(h.events) > r.per_issue),
        shared AS (
            SELECT l.*, CASE WHEN n.here > 0 THEN greatest(2, ceil(l.per_issue * n.here / n.total))::bigint END AS share
              FROM listed l LEFT JOIN noisy n ON n.project_id = l.project_id AND n.issue_id = l.issue_id)
        SELECT s.project_id, s.id, s.bytes,
               s.keep AND (s.share IS NULL OR s.of <= s.share OR s.rank = s.of OR
                           (s.rank - 1) * (s.share - 1) / s.of <> (s.rank - 2) * (s.share - 1) / s.of OR s.rank = 1)
          FROM shared s$q$, 'events_' || to_char(p_day, 'YYYYMMDD'))
    USING p_day, p_now, p_days, p_per_issue, p_horizon;
END $$;

-- When the run of retention that is under way last took a horizon: every transaction that began before is over when a day is copied (retention_quiet), so
-- that the copy knows what these deleted.
CREATE TABLE retention_begun (
    id boolean PRIMARY KEY DEFAULT true CHECK (id),
    at timestamptz NOT NULL);

CREATE OR REPLACE FUNCTION retention_begin() RETURNS TABLE (horizon bigint, at timestamptz) LANGUAGE plpgsql AS $$
BEGIN
    SELECT last_value INTO horizon FROM digest_batch_id;
    at := clock_timestamp();
    INSERT INTO retention_begun AS b VALUES (true, at) ON CONFLICT (id) DO UPDATE SET at = excluded.at;
    RETURN NEXT;
END $$;

CREATE OR REPLACE FUNCTION erasure_settle_day(p_day date) RETURNS void LANGUAGE sql AS $$
    WITH gone AS (
        DELETE FROM erasure_rows r
         WHERE r.id >= uuid7_floor(p_day::timestamp AT TIME ZONE 'UTC') AND r.id < uuid7_floor((p_day + 1)::timestamp AT TIME ZONE 'UTC')
           AND NOT EXISTS (SELECT FROM events_default d WHERE d.project_id = r.project_id AND d.id = r.id)
        RETURNING r.*)
    UPDATE erasures e SET events = e.events + g.n, bytes = e.bytes + g.bytes
      FROM (SELECT project_id, erasure_id, count(*) AS n, sum(bytes) AS bytes FROM gone GROUP BY 1, 2) g
     WHERE e.project_id = g.project_id AND e.id = g.erasure_id;
    DELETE FROM erasure_days d WHERE d.day = p_day;
    DELETE FROM issue_leavings l USING retention_begun b WHERE l.day = p_day AND l.noted_at < b.at;
$$;
