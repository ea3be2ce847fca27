-- A list of issues says how many there are, and counting 1.4 million rows for each page takes half a second and every core.

-- ---- issues are not counted, their states are

-- Every issue has a number, and numbers are given in the transaction that makes the issue: so last_issue is how many there ever were, and only what is rarer
-- than a new issue has to be noted: that one is resolved, muted, or no longer there. By triggers, so that every way leads through them, that of the release
-- before, too. The row is locked after issues and before hours and counters (0002_digest_batch.sql says why there is an order).
LOCK TABLE projects IN SHARE ROW EXCLUSIVE MODE; -- one that is made meanwhile would get no row
CREATE TABLE issue_states (
    project_id int PRIMARY KEY REFERENCES projects ON DELETE CASCADE,
    resolved   bigint NOT NULL DEFAULT 0,
    muted      bigint NOT NULL DEFAULT 0,        -- and not resolved
    gone       bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE FUNCTION issue_states_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE issue_states
       SET resolved = resolved + NEW.is_resolved::int - OLD.is_resolved::int,
           muted = muted + (NEW.is_muted AND NOT NEW.is_resolved)::int - (OLD.is_muted AND NOT OLD.is_resolved)::int
     WHERE project_id = NEW.project_id;
    RETURN NULL;
END $$;
CREATE TRIGGER issue_states_move AFTER UPDATE ON issues
    FOR EACH ROW WHEN (NEW.is_resolved <> OLD.is_resolved OR NEW.is_muted <> OLD.is_muted) EXECUTE FUNCTION issue_states_move();

CREATE FUNCTION issue_states_drop() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE issue_states s SET gone = s.gone + d.n, resolved = s.resolved - d.resolved, muted = s.muted - d.muted
      FROM (SELECT project_id, count(*) AS n, count(*) FILTER (WHERE is_resolved) AS resolved, count(*) FILTER (WHERE is_muted AND NOT is_resolved) AS muted
              FROM dropped GROUP BY project_id) d
     WHERE s.project_id = d.project_id;
    RETURN NULL;
END $$;
CREATE TRIGGER issue_states_drop AFTER DELETE ON issues REFERENCING OLD TABLE AS dropped FOR EACH STATEMENT EXECUTE FUNCTION issue_states_drop();

CREATE OR REPLACE FUNCTION projects_attach() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO project_counters (project_id) VALUES (NEW.id);
    INSERT INTO project_numbering (project_id) VALUES (NEW.id);
    INSERT INTO issue_states (project_id) VALUES (NEW.id);
    RETURN NULL;
END $$;

-- Nobody writes issues meanwhile: making the triggers has locked them.
INSERT INTO issue_states (project_id, resolved, muted, gone)
SELECT p.project_id, coalesce(i.resolved, 0), coalesce(i.muted, 0), p.last_issue - coalesce(i.n, 0)
  FROM project_numbering p
  LEFT JOIN (SELECT project_id, count(*) AS n, count(*) FILTER (WHERE is_resolved) AS resolved, count(*) FILTER (WHERE is_muted AND NOT is_resolved) AS muted
               FROM issues GROUP BY project_id) i USING (project_id);

-- How many issues a list with this filter has; any other filter than these three: all. Null: no such project.
CREATE FUNCTION issue_count(p_project int, p_filter text) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT CASE p_filter WHEN 'open' THEN n.last_issue - s.gone - s.resolved - s.muted
                         WHEN 'resolved' THEN s.resolved
                         WHEN 'muted' THEN s.muted ELSE n.last_issue - s.gone END
      FROM project_numbering n JOIN issue_states s ON s.project_id = n.project_id WHERE n.project_id = p_project
$$;

-- The first page of the few that are resolved, or muted, must not be looked for among all that are open.
CREATE INDEX issues_resolved_last_seen ON issues (project_id, last_seen DESC, id DESC) WHERE is_resolved;
CREATE INDEX issues_muted_last_seen ON issues (project_id, last_seen DESC, id DESC) WHERE is_muted AND NOT is_resolved;

-- ---- ids of issues grow

-- Random ids touch a page each of four indexes for each new issue, and after every checkpoint each page goes to the WAL as a whole: a flood of new issues was
-- digested ever slower. UUIDv7 (RFC 9562, 5.7) touches the last pages, as ids of events do.
CREATE FUNCTION uuid7(at timestamptz) RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT encode(set_byte(b, 6, get_byte(b, 6) | 48), 'hex')::uuid -- version 4, which gen_random_uuid() has set, becomes 7
      FROM (SELECT overlay(uuid_send(gen_random_uuid()) PLACING substring(int8send(floor(extract(epoch FROM at) * 1000)::bigint) FROM 3) FROM 1) AS b) r
$$;

-- As in 0002, but for those ids.
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
