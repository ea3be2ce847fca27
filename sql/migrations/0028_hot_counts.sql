-- What a stored event costs PostgreSQL besides its row.
--
-- An issue that gets events changes its last_seen, and four indexes had that: each change was a new entry in all indexes of the table, some 600 bytes of WAL
-- and 40 us, for two of three events. Lists need last_seen only to find the newest, so the indexes have its second now, and within a second lists sort. An issue that is seen
-- ten times in a second moves in its indexes once; the other changes stay on its page (HOT).
--
-- Two workers that store at the same time meet in the issues of a busy project, and a row that changed since a statement began costs that statement more than
-- the change itself. So a project's issues are counted by one batch at a time (project_turns). Nobody else changes many of them: whoever does change
-- one just then (a person who resolves it) makes the batch try again.
--
-- An insert that looks for copies asks two indexes first and writes each row a second time, to confirm it. Nearly all batches have no copy: they are inserted as they are, and
-- a batch that has one is undone to there and takes the old way.
--
-- The classes of locks of 0002: numbering < events < turns < issues < states of issues < hourly rows < project counters.

-- ---- lists by the second

ALTER TABLE issues
    ADD COLUMN seen_second timestamptz NOT NULL
        GENERATED ALWAYS AS (date_bin('1 second', last_seen, timestamptz '2000-01-01 00:00:00+00')) STORED;
DROP INDEX issues_open_last_seen, issues_last_seen, issues_resolved_last_seen, issues_muted_last_seen;
CREATE INDEX issues_open_seen ON issues (project_id, seen_second) WHERE NOT is_resolved AND NOT is_muted;
CREATE INDEX issues_seen ON issues (project_id, seen_second) WHERE number > 0; -- all of them; a plan made while there are few must not look for an id with it
CREATE INDEX issues_resolved_seen ON issues (project_id, seen_second) WHERE is_resolved;
CREATE INDEX issues_muted_seen ON issues (project_id, seen_second) WHERE is_muted AND NOT is_resolved;

-- ---- turns

CREATE TABLE project_turns (
    project_id int PRIMARY KEY REFERENCES projects ON DELETE CASCADE
);
INSERT INTO project_turns SELECT id FROM projects;
CREATE OR REPLACE FUNCTION projects_attach() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO project_counters (project_id) VALUES (NEW.id);
    INSERT INTO project_numbering (project_id) VALUES (NEW.id);
    INSERT INTO issue_states (project_id) VALUES (NEW.id);
    INSERT INTO project_turns (project_id) VALUES (NEW.id);
    RETURN NULL;
END $$;

-- ---- counting

-- Counts the events of a batch in their issues, and in the issues' hour. v_*: for each group, as in digest_batch. A resolved issue reopens when an event came after it was resolved.
-- Joins are loops over what is sorted here, so rows are locked ascending.
CREATE FUNCTION digest_count(
    p_hour timestamptz, g_project int[], v_issue uuid[], v_count bigint[], v_first timestamptz[], v_last timestamptz[], v_cause uuid[], v_new boolean[]
) RETURNS void LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_memoize = off SET jit = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    t_project int[];
    t_issue   uuid[];
    t_n       bigint[];
    t_first   timestamptz[];
    t_last    timestamptz[];
    t_cause   uuid[];
    t_place   tid[];
    v_done    int;
    v_project int[];  -- of issues that reopen, as the next two
    v_again   uuid[];
    v_by      uuid[];
BEGIN
    SELECT array_agg(t.project_id), array_agg(t.issue_id), array_agg(t.n), array_agg(t.first_at), array_agg(t.last_at), array_agg(t.cause)
      INTO t_project, t_issue, t_n, t_first, t_last, t_cause
      FROM (SELECT t.project_id, t.issue_id, sum(t.n) AS n, min(t.first_at) AS first_at, max(t.last_at) AS last_at,
                   (array_agg(t.cause ORDER BY t.cause))[1] AS cause
              FROM unnest(g_project, v_issue, v_count, v_first, v_last, v_cause, v_new) t(project_id, issue_id, n, first_at, last_at, cause, is_new)
             WHERE t.n > 0 AND t.is_new IS NOT TRUE
             GROUP BY t.project_id, t.issue_id ORDER BY t.project_id, t.issue_id) t;

    IF v_new IS NOT NULL THEN
        INSERT INTO issue_hours (project_id, issue_id, hour, events)
        SELECT t.project_id, t.issue_id, p_hour, t.n
          FROM unnest(g_project, v_issue, v_count, v_new) t(project_id, issue_id, n, is_new)
         WHERE t.n > 0 AND t.is_new ORDER BY t.project_id, t.issue_id;
    END IF;
    IF t_issue IS NULL THEN
        RETURN;
    END IF;

    PERFORM FROM (SELECT DISTINCT t.project_id FROM unnest(t_project) t(project_id) ORDER BY t.project_id) b
           CROSS JOIN LATERAL (SELECT FROM project_turns p WHERE p.project_id = b.project_id FOR NO KEY UPDATE) p;

    -- By place, because an UPDATE cannot say by which index its rows are to be found.
    SELECT array_agg(i.ctid ORDER BY t.n)
      INTO t_place
      FROM unnest(t_project, t_issue) WITH ORDINALITY t(project_id, issue_id, n)
     CROSS JOIN LATERAL (SELECT i.ctid FROM issues i WHERE i.project_id = t.project_id AND i.id BETWEEN t.issue_id AND t.issue_id ORDER BY i.id LIMIT 1) i;
    IF cardinality(t_place) IS DISTINCT FROM cardinality(t_issue) THEN
        RAISE EXCEPTION 'an issue of the batch was deleted meanwhile' USING ERRCODE = 'serialization_failure';
    END IF;
    WITH counted AS (
        UPDATE issues i
           SET event_count = i.event_count + t.n, first_seen = least(i.first_seen, t.first_at), last_seen = greatest(i.last_seen, t.last_at)
          FROM unnest(t_place, t_n, t_first, t_last, t_cause) t(place, n, first_at, last_at, cause)
         WHERE i.ctid = t.place
        RETURNING i.project_id, i.id, t.cause, i.is_resolved AND t.last_at >= coalesce(i.resolved_at, '-infinity') AS reopens)
    SELECT count(*), array_agg(c.project_id) FILTER (WHERE c.reopens), array_agg(c.id) FILTER (WHERE c.reopens), array_agg(c.cause) FILTER (WHERE c.reopens)
      INTO v_done, v_project, v_again, v_by FROM counted c;
    IF v_done <> cardinality(t_issue) THEN
        RAISE EXCEPTION 'an issue of the batch was changed meanwhile' USING ERRCODE = 'serialization_failure';
    END IF;
    IF v_again IS NOT NULL THEN
        UPDATE issues i SET is_resolved = false, resolved_at = NULL
          FROM unnest(v_project, v_again) t(project_id, issue_id) WHERE i.project_id = t.project_id AND i.id = t.issue_id;
        INSERT INTO issue_transitions (project_id, issue_id, kind, event_row)
        SELECT t.project_id, t.issue_id, 'regressed', t.cause FROM unnest(v_project, v_again, v_by) t(project_id, issue_id, cause);
    END IF;

    UPDATE issue_hours h SET events = h.events + t.n
      FROM unnest(t_project, t_issue, t_n) t(project_id, issue_id, n)
     WHERE h.project_id = t.project_id AND h.issue_id = t.issue_id AND h.hour = p_hour;
    GET DIAGNOSTICS v_done = ROW_COUNT;
    IF v_done < cardinality(t_issue) THEN -- the first of their hour
        INSERT INTO issue_hours AS h (project_id, issue_id, hour, events)
        SELECT t.project_id, t.issue_id, p_hour, t.n
          FROM unnest(t_project, t_issue, t_n) t(project_id, issue_id, n)
          LEFT JOIN LATERAL (SELECT true AS found FROM issue_hours o
                              WHERE o.project_id = t.project_id AND o.issue_id BETWEEN t.issue_id AND t.issue_id AND o.hour BETWEEN p_hour AND p_hour
                              ORDER BY o.issue_id, o.hour LIMIT 1) o ON true
         WHERE o.found IS NULL
            ON CONFLICT (project_id, issue_id, hour) DO UPDATE SET events = h.events + excluded.events;
    END IF;
END $$;

-- As in 0021, but that records are inserted without looking for copies first, and issues are counted above.
CREATE OR REPLACE FUNCTION digest_batch(
    p_node uuid, p_segment bigint, p_from bigint, p_to bigint, p_version smallint,
    g_project int[], g_hash bytea[], g_type text[], g_value text[], g_title text[], g_transaction text[],
    g_filename text[], g_module text[], g_function text[], g_level text[], g_platform text[],
    r_group int[], r_id uuid[], r_event_id uuid[], r_received timestamptz[], r_timestamp timestamptz[], r_title text[],
    r_level text[], r_platform text[], r_release text[], r_environment text[], r_server text[], r_sdk_name text[], r_sdk_version text[],
    r_addr inet[], r_payload bytea[]
) RETURNS smallint[] LANGUAGE plpgsql
-- Plans are for index look-ups whatever the statistics say: a plan made while a table was empty is kept when it is full. Look-ups ask for a
-- range of one value and its order, because then only the index meant can serve: with an equality all indexes of an empty table tie.
SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_batch   bigint := nextval('digest_batch_id');
    v_hour    timestamptz := date_trunc('hour', r_received[1], 'UTC');
    v_today   uuid := uuid7_floor(date_trunc('day', r_received[1], 'UTC'));
    v_before  uuid := uuid7_floor(date_trunc('day', r_received[1], 'UTC') - interval '1 day');
    v_after   uuid := uuid7_floor(date_trunc('day', r_received[1], 'UTC') + interval '1 day');
    v_beyond  uuid := uuid7_floor(date_trunc('day', r_received[1], 'UTC') + interval '2 days');
    v_gid     bigint[];     -- grouping of each group; null: its project is gone
    v_issue   uuid[];       -- issue of each group
    v_new     boolean[];    -- the grouping does not exist yet
    v_missing boolean;
    v_old     int[];        -- positions of records that yesterday's partition has, or tomorrow's
    v_stored  uuid[];       -- events.id of the rows really inserted
    v_count   bigint[];     -- per group, of the rows really inserted
    v_first   timestamptz[];
    v_last    timestamptz[];
    v_cause   uuid[];
    v_all     boolean := false; -- every record was inserted
    v_outcome smallint[];
BEGIN
    SELECT array_agg(g.id ORDER BY b.n), array_agg(g.issue_id ORDER BY b.n), bool_or(g.id IS NULL)
      INTO v_gid, v_issue, v_missing
      FROM unnest(g_project, g_hash) WITH ORDINALITY b(project_id, hash, n)
      LEFT JOIN LATERAL (SELECT id, issue_id FROM groupings g
                          WHERE g.project_id = b.project_id AND g.hash BETWEEN b.hash AND b.hash AND g.version = p_version
                          ORDER BY g.hash LIMIT 1) g ON true;

    IF v_missing THEN
        PERFORM FROM (SELECT DISTINCT b.project_id FROM unnest(g_project, v_gid) b(project_id, id) WHERE b.id IS NULL
                       ORDER BY b.project_id) b
               CROSS JOIN LATERAL (SELECT FROM project_numbering p WHERE p.project_id = b.project_id FOR NO KEY UPDATE) p;
        SELECT array_agg(coalesce(g.id, CASE WHEN p.found THEN nextval('groupings_id') END) ORDER BY b.n),
               array_agg(coalesce(g.issue_id, CASE WHEN p.found THEN uuid7(now()) END) ORDER BY b.n),
               array_agg(g.id IS NULL ORDER BY b.n)
          INTO v_gid, v_issue, v_new
          FROM unnest(g_project, g_hash) WITH ORDINALITY b(project_id, hash, n)
          LEFT JOIN LATERAL (SELECT id, issue_id FROM groupings g
                              WHERE g.project_id = b.project_id AND g.hash BETWEEN b.hash AND b.hash AND g.version = p_version
                              ORDER BY g.hash LIMIT 1) g ON true
          LEFT JOIN LATERAL (SELECT true AS found FROM project_numbering p WHERE p.project_id = b.project_id) p ON g.id IS NULL;
    END IF;

    SELECT array_agg(r.n)
      INTO v_old
      FROM unnest(r_group, r_event_id) WITH ORDINALITY r(grp, event_id, n)
     CROSS JOIN LATERAL (SELECT FROM events e WHERE e.project_id = g_project[r.grp] AND e.event_id BETWEEN r.event_id AND r.event_id
                            AND e.id >= v_before AND e.id < v_today ORDER BY e.event_id LIMIT 1) e;
    -- After a clock was set back, what came before is dated tomorrow.
    IF EXISTS (SELECT FROM events e WHERE e.id >= v_after AND e.id < v_beyond) THEN
        SELECT v_old || array_agg(r.n)
          INTO v_old
          FROM unnest(r_group, r_event_id) WITH ORDINALITY r(grp, event_id, n)
         CROSS JOIN LATERAL (SELECT FROM events e WHERE e.project_id = g_project[r.grp] AND e.event_id BETWEEN r.event_id AND r.event_id
                                AND e.id >= v_after AND e.id < v_beyond ORDER BY e.event_id LIMIT 1) e;
    END IF;

    IF v_old IS NULL AND array_position(v_gid, NULL) IS NULL THEN
        BEGIN
            INSERT INTO events (project_id, id, event_id, grouping_id, batch_id, received_at, timestamp, title, level, platform, release,
                                environment, server_name, sdk_name, sdk_version, remote_addr, payload)
            SELECT g_project[r.grp], r.id, r.event_id, v_gid[r.grp], v_batch, r.received_at, r.timestamp, r.title, r.level, r.platform,
                   r.release, r.environment, r.server_name, r.sdk_name, r.sdk_version, r.addr, r.payload
              FROM (SELECT unnest(r_group) AS grp, unnest(r_id) AS id, unnest(r_event_id) AS event_id, unnest(r_received) AS received_at,
                           unnest(r_timestamp) AS timestamp, unnest(r_title) AS title, unnest(r_level) AS level, unnest(r_platform) AS platform,
                           unnest(r_release) AS release, unnest(r_environment) AS environment, unnest(r_server) AS server_name,
                           unnest(r_sdk_name) AS sdk_name, unnest(r_sdk_version) AS sdk_version, unnest(r_addr) AS addr,
                           unnest(r_payload) AS payload) r;
            v_all := true;
        EXCEPTION WHEN unique_violation THEN
            NULL; -- there are copies: the statement below tells which
        END;
    END IF;
    IF v_all THEN
        v_stored := r_id;
        SELECT array_agg(s.n ORDER BY s.grp), array_agg(s.first_at ORDER BY s.grp), array_agg(s.last_at ORDER BY s.grp), array_agg(s.cause ORDER BY s.grp)
          INTO v_count, v_first, v_last, v_cause
          FROM (SELECT r.grp, count(*) AS n, min(r.received_at) AS first_at, max(r.received_at) AS last_at, (array_agg(r.id ORDER BY r.id))[1] AS cause
                  FROM unnest(r_group, r_id, r_received) r(grp, id, received_at) GROUP BY r.grp) s;
    ELSE
        WITH ins AS (
            INSERT INTO events (project_id, id, event_id, grouping_id, batch_id, received_at, timestamp, title, level, platform, release,
                                environment, server_name, sdk_name, sdk_version, remote_addr, payload)
            SELECT g_project[r.grp], r.id, r.event_id, v_gid[r.grp], v_batch, r.received_at, r.timestamp, r.title, r.level, r.platform,
                   r.release, r.environment, r.server_name, r.sdk_name, r.sdk_version, r.addr, r.payload
              FROM unnest(r_group, r_id, r_event_id, r_received, r_timestamp, r_title, r_level, r_platform, r_release, r_environment,
                          r_server, r_sdk_name, r_sdk_version, r_addr, r_payload) WITH ORDINALITY
                   r(grp, id, event_id, received_at, timestamp, title, level, platform, release, environment, server_name, sdk_name,
                     sdk_version, addr, payload, n)
             WHERE v_gid[r.grp] IS NOT NULL AND (v_old IS NULL OR r.n <> ALL (v_old))
                ON CONFLICT DO NOTHING
            RETURNING id, grouping_id, received_at),
        sums AS (
            SELECT grouping_id, count(*) AS n, min(received_at) AS first_at, max(received_at) AS last_at,
                   (array_agg(id ORDER BY id))[1] AS cause
              FROM ins GROUP BY grouping_id)
        SELECT (SELECT array_agg(id) FROM ins),
               array_agg(coalesce(s.n, 0) ORDER BY g.n), array_agg(s.first_at ORDER BY g.n), array_agg(s.last_at ORDER BY g.n),
               array_agg(s.cause ORDER BY g.n)
          INTO v_stored, v_count, v_first, v_last, v_cause
          FROM unnest(v_gid) WITH ORDINALITY g(id, n) LEFT JOIN sums s ON s.grouping_id = g.id;
    END IF;

    IF v_missing THEN
        PERFORM digest_new_issues(p_version, g_project, g_hash, g_type, g_value, g_title, g_transaction, g_filename, g_module, g_function,
                                  g_level, g_platform, v_gid, v_issue, v_new, v_count, v_first, v_last, v_cause);
    END IF;

    PERFORM digest_count(v_hour, g_project, v_issue, v_count, v_first, v_last, v_cause, v_new);
    INSERT INTO project_hours AS h (project_id, hour, events)
    SELECT t.project_id, v_hour, sum(t.n) FROM unnest(g_project, v_count) t(project_id, n) WHERE t.n > 0
     GROUP BY t.project_id ORDER BY t.project_id
        ON CONFLICT (project_id, hour) DO UPDATE SET events = h.events + excluded.events;
    INSERT INTO project_counters AS c (project_id, stored, digested)
    SELECT t.project_id, sum(t.n), sum(t.n) FROM unnest(g_project, v_count) t(project_id, n) WHERE t.n > 0
     GROUP BY t.project_id ORDER BY t.project_id
        ON CONFLICT (project_id) DO UPDATE SET stored = c.stored + excluded.stored, digested = c.digested + excluded.digested;

    INSERT INTO digest_batches (id, node, segment, from_offset, to_offset, records, events)
    VALUES (v_batch, p_node, p_segment, p_from, p_to, cardinality(r_id), coalesce(cardinality(v_stored), 0));

    IF v_all THEN
        RETURN array_fill(1::smallint, ARRAY[cardinality(r_id)]);
    END IF;
    SELECT array_agg((CASE WHEN v_gid[r.grp] IS NULL THEN 2 WHEN s.id IS NULL THEN 0 ELSE 1 END)::smallint ORDER BY r.n)
      INTO v_outcome
      FROM unnest(r_group, r_id) WITH ORDINALITY r(grp, id, n) LEFT JOIN unnest(v_stored) s(id) ON s.id = r.id;
    RETURN v_outcome;
END $$;
