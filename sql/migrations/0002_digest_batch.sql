-- digest_batch: one call stores one batch, in one transaction, and says what became of each record.
--
-- Input, made by src/digest/batch.c:
--   groups  g_*: the distinct (project, grouping hash) of the batch, ascending; the g_ columns describe the issue that a new group becomes
--   records r_*: ascending by (project, event_id) and distinct by it; r_group is the 1-based position of the record's group
--   all records of a batch were received in the same hour (UTC)
-- Output: per record 1 = stored, 0 = there already (a duplicate), 2 = its project no longer exists.
--
-- Why it is exact: events go in first, and whatever is counted or created afterwards is computed from the rows that INSERT returned.
-- Why it cannot deadlock with itself: locks are taken in classes, always in this order, and ascending within each class:
--   numbering of projects that may get a new issue < events (unique keys) < issues < hourly rows < project counters.
-- Why two workers never make two issues of one new group: the numbering row of the project is locked before groups are looked up a second
--   time; each statement of the function sees what was committed before it started (READ COMMITTED).
CREATE SEQUENCE digest_batch_id AS bigint;

CREATE FUNCTION digest_batch(
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
    v_locked  int;
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
               array_agg(coalesce(g.issue_id, CASE WHEN p.found THEN gen_random_uuid() END) ORDER BY b.n),
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

    IF v_missing THEN
        PERFORM digest_new_issues(p_version, g_project, g_hash, g_type, g_value, g_title, g_transaction, g_filename, g_module, g_function,
                                  g_level, g_platform, v_gid, v_issue, v_new, v_count, v_first, v_last, v_cause);
    END IF;

    -- Issues that existed: lock ascending, then count. A resolved one reopens when an event came after it was resolved.
    WITH touched AS (
        SELECT t.project_id, t.issue_id, sum(t.n) AS n, min(t.first_at) AS first_at, max(t.last_at) AS last_at,
               (array_agg(t.cause ORDER BY t.cause))[1] AS cause
          FROM unnest(g_project, v_issue, v_count, v_first, v_last, v_cause, v_new)
               t(project_id, issue_id, n, first_at, last_at, cause, is_new)
         WHERE t.n > 0 AND t.is_new IS NOT TRUE
         GROUP BY t.project_id, t.issue_id ORDER BY t.project_id, t.issue_id),
    locked AS MATERIALIZED (
        SELECT t.*, i.is_resolved AND t.last_at >= coalesce(i.resolved_at, '-infinity') AS reopens
          FROM touched t
         CROSS JOIN LATERAL (SELECT is_resolved, resolved_at FROM issues i
                              WHERE i.project_id = t.project_id AND i.id BETWEEN t.issue_id AND t.issue_id
                              ORDER BY i.id LIMIT 1 FOR NO KEY UPDATE) i),
    reopened AS (
        INSERT INTO issue_transitions (project_id, issue_id, kind, event_row)
        SELECT project_id, issue_id, 'regressed', cause FROM locked WHERE reopens),
    counted AS (
        UPDATE issues i
           SET event_count = i.event_count + l.n, first_seen = least(i.first_seen, l.first_at),
               last_seen = greatest(i.last_seen, l.last_at), is_resolved = i.is_resolved AND NOT l.reopens,
               resolved_at = CASE WHEN NOT l.reopens THEN i.resolved_at END
          FROM locked l WHERE i.project_id = l.project_id AND i.id = l.issue_id)
    SELECT (SELECT count(*) FROM touched) - (SELECT count(*) FROM locked) INTO v_locked;
    IF v_locked <> 0 THEN
        RAISE EXCEPTION 'an issue of the batch was deleted meanwhile' USING ERRCODE = 'serialization_failure';
    END IF;

    INSERT INTO issue_hours AS h (project_id, issue_id, hour, events)
    SELECT t.project_id, t.issue_id, v_hour, sum(t.n)
      FROM unnest(g_project, v_issue, v_count) t(project_id, issue_id, n) WHERE t.n > 0
     GROUP BY t.project_id, t.issue_id ORDER BY t.project_id, t.issue_id
        ON CONFLICT (project_id, issue_id, hour) DO UPDATE SET events = h.events + excluded.events;
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

    SELECT array_agg((CASE WHEN v_gid[r.grp] IS NULL THEN 2 WHEN s.id IS NULL THEN 0 ELSE 1 END)::smallint ORDER BY r.n)
      INTO v_outcome
      FROM unnest(r_group, r_id) WITH ORDINALITY r(grp, id, n) LEFT JOIN unnest(v_stored) s(id) ON s.id = r.id;
    RETURN v_outcome;
END $$;

-- The issues and groupings of groups that are new and really got an event; the caller holds the projects' numbering rows.
CREATE FUNCTION digest_new_issues(
    p_version smallint, g_project int[], g_hash bytea[], g_type text[], g_value text[], g_title text[], g_transaction text[],
    g_filename text[], g_module text[], g_function text[], g_level text[], g_platform text[],
    v_gid bigint[], v_issue uuid[], v_new boolean[], v_count bigint[], v_first timestamptz[], v_last timestamptz[], v_cause uuid[]
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    WITH fresh AS MATERIALIZED (
        SELECT t.*, row_number() OVER (PARTITION BY t.project_id ORDER BY t.cause) AS rank, count(*) OVER (PARTITION BY t.project_id) AS of
          FROM unnest(g_project, g_hash, g_type, g_value, g_title, g_transaction, g_filename, g_module, g_function, g_level, g_platform,
                      v_gid, v_issue, v_new, v_count, v_first, v_last, v_cause)
               t(project_id, hash, type, value, title, transaction, filename, module, function, level, platform,
                 gid, issue_id, is_new, n, first_at, last_at, cause)
         WHERE t.is_new AND t.n > 0),
    numbered AS (
        UPDATE project_numbering p SET last_issue = p.last_issue + f.of
          FROM (SELECT DISTINCT project_id, of FROM fresh) f WHERE p.project_id = f.project_id
        RETURNING p.project_id, p.last_issue - f.of AS base),
    made AS (
        INSERT INTO issues (project_id, id, number, title, type, value, transaction, frame_filename, frame_module, frame_function, level,
                            platform, first_seen, last_seen, event_count)
        SELECT f.project_id, f.issue_id, b.base + f.rank, f.title, f.type, f.value, f.transaction, f.filename, f.module, f.function,
               nullif(f.level, ''), nullif(f.platform, ''), f.first_at, f.last_at, f.n
          FROM fresh f JOIN numbered b USING (project_id) ORDER BY f.project_id, f.issue_id),
    grouped AS (
        INSERT INTO groupings (project_id, id, issue_id, version, hash)
        SELECT project_id, gid, issue_id, p_version, hash FROM fresh ORDER BY project_id, hash)
    INSERT INTO issue_transitions (project_id, issue_id, kind, event_row)
    SELECT project_id, issue_id, 'new', cause FROM fresh;
END $$;
