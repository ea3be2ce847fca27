-- What people filter by but nobody waits for: tags, users and releases of issues, rolled up behind the digest's back. Design: src/digest/rollup.c.
--
--   digest  writes into an event's row which tags it has, as numbers that tags_intern() gave them, and a hash of its user; and into rollup_batches that there is a
--           batch to fold. A worker of the digest remembers numbers, so that tags_intern() is asked for what is new, and for what was not asked for within the hour
--   fold    rollup_fold() adds up the events of some batches and takes the batches off the list in the same transaction: each event counts once, whatever
--           dies when. One fold runs in a database at a time (an advisory lock), so nothing here waits for another, and nothing that the digest locks is locked here
--   bounds  TAG_KEYS keys of a project, TAG_VALUES values of a key, TAGS values of a project, ISSUE_VALUES values of a key in an issue: what is beyond counts as the
--           key's value '', which no tag can have; keys beyond are left out. Users of an issue are kept up to ISSUE_USERS, then those whose hash ends with a zero
--           bit, then with two …: what is kept tells how many there are
--   ages    a value that nobody sent for as long as events are kept goes, and what counted it, too. Numbers are not given twice
--
-- Events of before bear no tags and count in nothing here.

ALTER TABLE events
    ADD COLUMN tag_ids bytea,     -- ids of tags, ascending, three bytes each; null: an event of a release before
    ADD COLUMN user_hash bigint;  -- event_user_hash() of src/event/facets.c; null: nobody is named

-- ---- tags

-- A row for each project that had a tag, and the lock of whoever makes one.
CREATE TABLE tag_numbers (
    project_id int PRIMARY KEY REFERENCES all_projects ON DELETE CASCADE,
    last_tag   int NOT NULL DEFAULT 0,
    last_key   int NOT NULL DEFAULT 0,
    n_tags     int NOT NULL DEFAULT 0,         -- that are there
    n_keys     int NOT NULL DEFAULT 0
);
CREATE TABLE tag_keys (
    project_id int NOT NULL REFERENCES all_projects ON DELETE CASCADE,
    id         int NOT NULL,
    key        text NOT NULL,
    n_values   int NOT NULL DEFAULT 0,         -- that are there, '' not counted
    other_id   int NOT NULL,                   -- the tag with the value ''
    PRIMARY KEY (project_id, id),
    CONSTRAINT tag_keys_key UNIQUE (project_id, key)
);
CREATE TABLE tags (
    project_id int NOT NULL REFERENCES all_projects ON DELETE CASCADE,
    id         int NOT NULL,
    key_id     int NOT NULL,
    key        text NOT NULL,
    value      text NOT NULL,                  -- '': the key's values beyond the bound
    asked_on   date NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')::date, -- the last day that a worker asked for its number
    PRIMARY KEY (project_id, id),
    CONSTRAINT tags_value UNIQUE (project_id, key, value)
);
CREATE INDEX tags_asked ON tags (asked_on);

-- ---- what is counted

-- A tag with value '' stands for what is beyond the bound.
CREATE TABLE issue_tags (
    project_id int NOT NULL REFERENCES all_projects ON DELETE CASCADE,
    issue_id   uuid NOT NULL,
    tag_id     int NOT NULL,
    events     bigint NOT NULL,
    first_seen timestamptz NOT NULL,           -- receipt times
    last_seen  timestamptz NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX issue_tags_tag ON issue_tags (project_id, tag_id, issue_id);
ALTER TABLE issue_tags ADD PRIMARY KEY (project_id, issue_id, tag_id); -- last: see issues in 0001

-- How many values of a key an issue has there.
CREATE TABLE issue_tag_keys (
    project_id int NOT NULL REFERENCES all_projects ON DELETE CASCADE,
    issue_id   uuid NOT NULL,
    key_id     int NOT NULL,
    n_values   int NOT NULL,
    PRIMARY KEY (project_id, issue_id, key_id)
) WITH (fillfactor = 80);

CREATE TABLE issue_users (
    project_id int NOT NULL REFERENCES all_projects ON DELETE CASCADE,
    issue_id   uuid NOT NULL,
    user_hash  bigint NOT NULL,
    events     bigint NOT NULL,
    last_seen  timestamptz NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX issue_users_user ON issue_users (project_id, user_hash, issue_id);
ALTER TABLE issue_users ADD PRIMARY KEY (project_id, issue_id, user_hash);

CREATE TABLE issue_facts (
    project_id    int NOT NULL REFERENCES all_projects ON DELETE CASCADE,
    issue_id      uuid NOT NULL,
    users         bigint NOT NULL DEFAULT 0,   -- distinct; users_kept << users_level
    users_kept    int NOT NULL DEFAULT 0,      -- that issue_users was given
    users_level   smallint NOT NULL DEFAULT 0, -- so many low bits of a hash are 0 for a user to be kept
    first_release int,                         -- tags, by the receipt of its events
    last_release  int,
    last_release_at timestamptz,
    PRIMARY KEY (project_id, issue_id)
) WITH (fillfactor = 80);

-- Of all issues together.
CREATE TABLE project_tags (
    project_id int NOT NULL REFERENCES all_projects ON DELETE CASCADE,
    key_id     int NOT NULL,
    tag_id     int NOT NULL,
    events     bigint NOT NULL,
    first_seen timestamptz NOT NULL,
    last_seen  timestamptz NOT NULL,
    new_issues bigint NOT NULL DEFAULT 0,      -- whose first event bore it; of releases and environments only
    PRIMARY KEY (project_id, key_id, tag_id)
) WITH (fillfactor = 80);

-- Events by the hour, of releases and environments only.
CREATE TABLE tag_hours (
    project_id int NOT NULL REFERENCES all_projects ON DELETE CASCADE,
    tag_id     int NOT NULL,
    hour       timestamptz NOT NULL,
    events     bigint NOT NULL,
    PRIMARY KEY (project_id, tag_id, hour)
) WITH (fillfactor = 80);
CREATE INDEX tag_hours_hour ON tag_hours USING brin (hour) WITH (pages_per_range = 16, autosummarize = on);

-- Batches that are stored and not folded. Events of a batch are found by the primary key of events, which holds a range of receipts together.
CREATE TABLE rollup_batches (
    id         bigint PRIMARY KEY,             -- digest_batches'
    projects   int[] NOT NULL,
    low        uuid NOT NULL,                  -- events.id of the first and the last
    high       uuid NOT NULL,
    events     int NOT NULL,
    stored_at  timestamptz NOT NULL DEFAULT now(),
    not_before timestamptz                     -- it could not be folded, and is put off until then
);

-- Issues that are deleted: what was counted for them goes by rollup_tidy().
CREATE TABLE rollup_leavings (
    project_id int NOT NULL REFERENCES all_projects ON DELETE CASCADE,
    issue_id   uuid NOT NULL,
    since      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (project_id, issue_id)
);
CREATE FUNCTION issues_leave() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO rollup_leavings (project_id, issue_id)
    SELECT g.project_id, g.id FROM gone g JOIN projects p ON p.id = g.project_id ON CONFLICT DO NOTHING; -- a deleted project's go with it
    RETURN NULL;
END $$;
CREATE TRIGGER issues_leave AFTER DELETE ON issues REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION issues_leave();

-- ---- numbers

CREATE FUNCTION tag_ids_of(p_ids bytea) RETURNS SETOF int LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT get_byte(p_ids, 3 * i) << 16 | get_byte(p_ids, 3 * i + 1) << 8 | get_byte(p_ids, 3 * i + 2) FROM generate_series(0, octet_length(p_ids) / 3 - 1) i
$$;

-- Keys that a project has whatever others it has.
CREATE FUNCTION tag_key_is_ours(p_key text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT p_key IN ('release', 'environment', 'level', 'server_name', 'transaction', 'browser.name', 'os.name')
$$;

-- The numbers of tags, made where there are none. Null: the key is one too many, or the project is gone. closed: what further values of the key are counted as; 0:
-- further keys are left out; null: they get numbers. Who comes first is taken first. What workers ask for at the same time they ask for one after the other, in the order of the projects.
CREATE FUNCTION tags_intern(p_project int[], p_key text[], p_value text[]) RETURNS TABLE (id int, closed int) LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_memoize = off SET jit = off SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    TAG_KEYS   CONSTANT int := 200;
    TAG_VALUES CONSTANT int := 10000;
    TAGS       CONSTANT int := 200000;
    LAST_ID    CONSTANT int := (1 << 24) - 1;
    v_today    date := (now() AT TIME ZONE 'UTC')::date;
    k          record;
BEGIN
    INSERT INTO tag_numbers (project_id)
    SELECT p.id FROM projects p WHERE p.id = ANY (p_project) AND NOT EXISTS (SELECT FROM tag_numbers n WHERE n.project_id = p.id) ORDER BY p.id
        ON CONFLICT DO NOTHING;
    PERFORM FROM (SELECT DISTINCT a.project_id FROM unnest(p_project) a(project_id) ORDER BY a.project_id) a
           CROSS JOIN LATERAL (SELECT FROM tag_numbers n WHERE n.project_id = a.project_id FOR UPDATE) n;
    UPDATE tags t SET asked_on = v_today
      FROM unnest(p_project, p_key, p_value) a(project_id, key, value)
     WHERE t.project_id = a.project_id AND t.key = a.key AND t.value = a.value AND t.asked_on < v_today;

    FOR k IN
        SELECT a.project_id, a.key, tag_key_is_ours(a.key) AS is_ours
          FROM unnest(p_project, p_key) WITH ORDINALITY a(project_id, key, place)
         WHERE NOT EXISTS (SELECT FROM tag_keys k WHERE k.project_id = a.project_id AND k.key = a.key)
         GROUP BY a.project_id, a.key ORDER BY a.project_id, min(a.place)
    LOOP
        WITH numbered AS (
            UPDATE tag_numbers n SET last_tag = n.last_tag + 1, last_key = n.last_key + 1, n_keys = n.n_keys + (NOT k.is_ours)::int
             WHERE n.project_id = k.project_id AND (k.is_ours OR n.n_keys < TAG_KEYS) AND n.last_tag < LAST_ID
            RETURNING n.*),
        made AS (INSERT INTO tag_keys (project_id, id, key, other_id) SELECT n.project_id, n.last_key, k.key, n.last_tag FROM numbered n)
        INSERT INTO tags (project_id, id, key_id, key, value) SELECT n.project_id, n.last_tag, n.last_key, k.key, '' FROM numbered n;
    END LOOP;

    WITH fresh AS MATERIALIZED (
        SELECT a.project_id, a.key_id, a.key, a.value, row_number() OVER (PARTITION BY a.project_id ORDER BY a.place) AS rank
          FROM (SELECT k.project_id, k.id AS key_id, k.key, k.n_values, a.value, a.place,
                       row_number() OVER (PARTITION BY k.project_id, k.id ORDER BY a.place) AS rank
                  FROM (SELECT u.project_id, u.key, u.value, min(u.place) AS place
                          FROM unnest(p_project, p_key, p_value) WITH ORDINALITY u(project_id, key, value, place) GROUP BY 1, 2, 3) a
                  JOIN tag_keys k ON k.project_id = a.project_id AND k.key = a.key
                 WHERE NOT EXISTS (SELECT FROM tags t WHERE t.project_id = a.project_id AND t.key = a.key AND t.value = a.value)) a
         WHERE a.n_values + a.rank <= TAG_VALUES),
    made AS (
        INSERT INTO tags (project_id, id, key_id, key, value)
        SELECT f.project_id, n.last_tag + f.rank, f.key_id, f.key, f.value
          FROM fresh f JOIN tag_numbers n ON n.project_id = f.project_id
         WHERE (n.n_tags + f.rank <= TAGS OR tag_key_is_ours(f.key)) AND n.last_tag + f.rank <= LAST_ID
        RETURNING project_id, key_id, id),
    of_keys AS (
        UPDATE tag_keys k SET n_values = k.n_values + m.n
          FROM (SELECT project_id, key_id, count(*) AS n FROM made GROUP BY project_id, key_id) m
         WHERE k.project_id = m.project_id AND k.id = m.key_id)
    UPDATE tag_numbers n SET last_tag = m.last, n_tags = n.n_tags + m.n
      FROM (SELECT project_id, count(*) AS n, max(made.id) AS last FROM made GROUP BY project_id) m
     WHERE n.project_id = m.project_id;

    RETURN QUERY
    SELECT coalesce(t.id, k.other_id),
           CASE WHEN n.project_id IS NULL THEN NULL WHEN k.id IS NULL THEN 0 WHEN k.n_values >= TAG_VALUES OR (n.n_tags >= TAGS AND NOT tag_key_is_ours(a.key)) OR n.last_tag >= LAST_ID THEN k.other_id END
      FROM unnest(p_project, p_key, p_value) WITH ORDINALITY a(project_id, key, value, place)
      LEFT JOIN tag_numbers n ON n.project_id = a.project_id
      LEFT JOIN tag_keys k ON k.project_id = a.project_id AND k.key = a.key
      LEFT JOIN tags t ON t.project_id = a.project_id AND t.key = a.key AND t.value = a.value
     ORDER BY a.place;
END $$;

-- ---- folding

-- Adds up the events of those batches: how many. The caller has the lock of the roll-up. What is looked up is looked up row by row (LATERAL, by a range of one value and
-- its order: see digest_batch); what is made here is joined by hashing, because nobody can tell the planner how many rows that will be.
CREATE FUNCTION rollup_add(p_batches bigint[]) RETURNS bigint LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_nestloop = off SET enable_mergejoin = off SET enable_memoize = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    ISSUE_VALUES CONSTANT int := 1000;
    ISSUE_USERS  CONSTANT int := 10000;
    v_events  bigint;
    v_first   int[];  -- of issues that were not counted before, as the next
    v_issues  uuid[];
    v_full    int[];  -- of issues with too many users, as the next
    v_crowded uuid[];
    v_level   smallint;
    v_kept    int;
BEGIN
    WITH seen AS MATERIALIZED (
        SELECT e.project_id, g.issue_id, e.received_at, e.tag_ids, e.user_hash
          FROM rollup_batches b
         CROSS JOIN LATERAL unnest(b.projects) u(project_id)
         CROSS JOIN LATERAL (SELECT FROM projects p WHERE p.id = u.project_id LIMIT 1) p
         CROSS JOIN LATERAL (
            SELECT e.project_id, e.grouping_id, e.received_at, e.tag_ids, e.user_hash FROM events e
             WHERE e.project_id = u.project_id AND e.id >= b.low AND e.id <= b.high AND e.batch_id = b.id AND e.tag_ids IS NOT NULL
             ORDER BY e.id OFFSET 0) e
         CROSS JOIN LATERAL (SELECT g.issue_id FROM groupings g WHERE g.project_id = e.project_id AND g.id BETWEEN e.grouping_id AND e.grouping_id ORDER BY g.id LIMIT 1) g
         WHERE b.id = ANY (p_batches)),
    by_list AS (
        SELECT s.project_id, s.issue_id, date_trunc('hour', s.received_at, 'UTC') AS hour, s.tag_ids, count(*) AS n, min(s.received_at) AS first_at,
               max(s.received_at) AS last_at
          FROM seen s GROUP BY 1, 2, 3, 4),
    by_hour AS MATERIALIZED (
        SELECT l.project_id, l.issue_id, l.hour, i.tag_id, sum(l.n)::bigint AS n, min(l.first_at) AS first_at, max(l.last_at) AS last_at
          FROM by_list l CROSS JOIN LATERAL tag_ids_of(l.tag_ids) i(tag_id) GROUP BY 1, 2, 3, 4),
    known AS MATERIALIZED ( -- of a tag that is gone nothing is told
        SELECT u.project_id, u.tag_id, t.key_id, t.key, k.other_id
          FROM (SELECT DISTINCT project_id, tag_id FROM by_hour) u
         CROSS JOIN LATERAL (SELECT t.key_id, t.key FROM tags t WHERE t.project_id = u.project_id AND t.id BETWEEN u.tag_id AND u.tag_id ORDER BY t.id LIMIT 1) t
         CROSS JOIN LATERAL (SELECT k.other_id FROM tag_keys k WHERE k.project_id = u.project_id AND k.id BETWEEN t.key_id AND t.key_id ORDER BY k.id LIMIT 1) k),
    by_issue AS MATERIALIZED (
        SELECT h.project_id, h.issue_id, h.tag_id, k.key_id, k.key, k.other_id, sum(h.n)::bigint AS n, min(h.first_at) AS first_at, max(h.last_at) AS last_at
          FROM by_hour h JOIN known k ON k.project_id = h.project_id AND k.tag_id = h.tag_id GROUP BY 1, 2, 3, 4, 5, 6),
    judged AS MATERIALIZED (
        SELECT i.*, o.found IS NULL AND i.tag_id <> i.other_id AS is_new,
               count(*) FILTER (WHERE o.found IS NULL AND i.tag_id <> i.other_id)
                   OVER (PARTITION BY i.project_id, i.issue_id, i.key_id ORDER BY i.first_at, i.tag_id) + coalesce(k.n_values, 0) AS place
          FROM by_issue i
          LEFT JOIN LATERAL (SELECT true AS found FROM issue_tags t
                              WHERE t.project_id = i.project_id AND t.issue_id BETWEEN i.issue_id AND i.issue_id AND t.tag_id BETWEEN i.tag_id AND i.tag_id
                              ORDER BY t.issue_id, t.tag_id LIMIT 1) o ON true
          LEFT JOIN LATERAL (SELECT k.n_values FROM issue_tag_keys k
                              WHERE o.found IS NULL AND k.project_id = i.project_id AND k.issue_id = i.issue_id AND k.key_id = i.key_id LIMIT 1) k ON true),
    counted AS (
        INSERT INTO issue_tags AS t (project_id, issue_id, tag_id, events, first_seen, last_seen)
        SELECT j.project_id, j.issue_id, CASE WHEN j.is_new AND j.place > ISSUE_VALUES THEN j.other_id ELSE j.tag_id END AS tag, sum(j.n), min(j.first_at), max(j.last_at)
          FROM judged j GROUP BY j.project_id, j.issue_id, tag ORDER BY j.project_id, j.issue_id, tag
            ON CONFLICT (project_id, issue_id, tag_id) DO UPDATE
           SET events = t.events + excluded.events, first_seen = least(t.first_seen, excluded.first_seen), last_seen = greatest(t.last_seen, excluded.last_seen)),
    values_counted AS (
        INSERT INTO issue_tag_keys AS k (project_id, issue_id, key_id, n_values)
        SELECT j.project_id, j.issue_id, j.key_id, count(*) FROM judged j WHERE j.is_new AND j.place <= ISSUE_VALUES GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
            ON CONFLICT (project_id, issue_id, key_id) DO UPDATE SET n_values = k.n_values + excluded.n_values),
    of_project AS (
        INSERT INTO project_tags AS t (project_id, key_id, tag_id, events, first_seen, last_seen)
        SELECT i.project_id, i.key_id, i.tag_id, sum(i.n), min(i.first_at), max(i.last_at) FROM by_issue i GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
            ON CONFLICT (project_id, key_id, tag_id) DO UPDATE
           SET events = t.events + excluded.events, first_seen = least(t.first_seen, excluded.first_seen), last_seen = greatest(t.last_seen, excluded.last_seen)),
    by_the_hour AS (
        INSERT INTO tag_hours AS t (project_id, tag_id, hour, events)
        SELECT h.project_id, h.tag_id, h.hour, sum(h.n)
          FROM by_hour h JOIN known k ON k.project_id = h.project_id AND k.tag_id = h.tag_id
         WHERE k.key IN ('release', 'environment') GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
            ON CONFLICT (project_id, tag_id, hour) DO UPDATE SET events = t.events + excluded.events),
    of_users AS (
        INSERT INTO issue_users AS u (project_id, issue_id, user_hash, events, last_seen)
        SELECT s.project_id, s.issue_id, s.user_hash, count(*), max(s.received_at)
          FROM seen s LEFT JOIN LATERAL (SELECT f.users_level FROM issue_facts f WHERE f.project_id = s.project_id AND f.issue_id = s.issue_id LIMIT 1) f ON true
         WHERE s.user_hash & ((1::bigint << coalesce(f.users_level, 0)) - 1) = 0
         GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
            ON CONFLICT (project_id, issue_id, user_hash) DO UPDATE SET events = u.events + excluded.events, last_seen = greatest(u.last_seen, excluded.last_seen)
        RETURNING u.project_id, u.issue_id, u.xmax = 0 AS is_new),
    facts AS (
        INSERT INTO issue_facts AS f (project_id, issue_id, users, users_kept, first_release, last_release, last_release_at)
        SELECT i.project_id, i.issue_id, count(*) FILTER (WHERE i.is_user), count(*) FILTER (WHERE i.is_user),
               (array_agg(i.release ORDER BY i.first_at, i.release) FILTER (WHERE i.release IS NOT NULL))[1],
               (array_agg(i.release ORDER BY i.last_at DESC, i.release DESC) FILTER (WHERE i.release IS NOT NULL))[1], max(i.last_at)
          FROM (SELECT DISTINCT s.project_id, s.issue_id, false AS is_user, NULL::int AS release, NULL::timestamptz AS first_at, NULL::timestamptz AS last_at FROM seen s
                 UNION ALL
                SELECT u.project_id, u.issue_id, true, NULL, NULL, NULL FROM of_users u WHERE u.is_new
                 UNION ALL
                SELECT j.project_id, j.issue_id, false, j.tag_id, j.first_at, j.last_at FROM by_issue j WHERE j.key = 'release') i
         GROUP BY 1, 2 ORDER BY 1, 2
            ON CONFLICT (project_id, issue_id) DO UPDATE
           SET users_kept = f.users_kept + excluded.users_kept, users = (f.users_kept + excluded.users_kept)::bigint << f.users_level,
               first_release = coalesce(f.first_release, excluded.first_release),
               last_release = CASE WHEN f.last_release_at > excluded.last_release_at THEN f.last_release ELSE coalesce(excluded.last_release, f.last_release) END,
               last_release_at = greatest(f.last_release_at, excluded.last_release_at)
         WHERE excluded.users_kept > 0 OR excluded.last_release IS NOT NULL
        RETURNING f.project_id, f.issue_id, f.users_kept, f.xmax = 0 AS is_first)
    SELECT (SELECT count(*) FROM seen), array_agg(f.project_id) FILTER (WHERE f.is_first), array_agg(f.issue_id) FILTER (WHERE f.is_first),
           array_agg(f.project_id) FILTER (WHERE f.users_kept > ISSUE_USERS), array_agg(f.issue_id) FILTER (WHERE f.users_kept > ISSUE_USERS)
      INTO v_events, v_first, v_issues, v_full, v_crowded
      FROM facts f;

    -- By the event that made the issue, wherever it was folded. Issues of before the tags have none that bears any.
    IF v_first IS NOT NULL THEN
        INSERT INTO project_tags AS t (project_id, key_id, tag_id, events, first_seen, last_seen, new_issues)
        SELECT i.project_id, k.key_id, k.id, 0, min(e.received_at), max(e.received_at), count(*)
          FROM unnest(v_first, v_issues) i(project_id, issue_id)
         CROSS JOIN LATERAL (SELECT x.event_row FROM issue_transitions x
                              WHERE x.project_id = i.project_id AND x.issue_id BETWEEN i.issue_id AND i.issue_id AND x.kind = 'new' ORDER BY x.issue_id LIMIT 1) x
         CROSS JOIN LATERAL (SELECT e.tag_ids, e.received_at FROM events e WHERE e.project_id = i.project_id AND e.id BETWEEN x.event_row AND x.event_row
                              ORDER BY e.id LIMIT 1) e
         CROSS JOIN LATERAL tag_ids_of(e.tag_ids) l(tag_id)
         CROSS JOIN LATERAL (SELECT k.id, k.key_id FROM tags k
                              WHERE k.project_id = i.project_id AND k.id BETWEEN l.tag_id AND l.tag_id AND k.key IN ('release', 'environment') ORDER BY k.id LIMIT 1) k
         GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
            ON CONFLICT (project_id, key_id, tag_id) DO UPDATE SET new_issues = t.new_issues + excluded.new_issues;
    END IF;

    FOR i IN 1 .. coalesce(cardinality(v_full), 0) LOOP
        SELECT f.users_level, f.users_kept INTO v_level, v_kept FROM issue_facts f WHERE f.project_id = v_full[i] AND f.issue_id = v_crowded[i];
        WHILE v_kept > ISSUE_USERS LOOP
            v_level := v_level + 1;
            DELETE FROM issue_users u WHERE u.project_id = v_full[i] AND u.issue_id = v_crowded[i] AND u.user_hash & ((1::bigint << v_level) - 1) <> 0;
            SELECT count(*) INTO v_kept FROM issue_users u WHERE u.project_id = v_full[i] AND u.issue_id = v_crowded[i];
        END LOOP;
        UPDATE issue_facts f SET users_level = v_level, users_kept = v_kept, users = v_kept::bigint << v_level
         WHERE f.project_id = v_full[i] AND f.issue_id = v_crowded[i];
    END LOOP;
    RETURN v_events;
END $$;

-- Folds at most p_batches batches of about p_events events. held: another server folds. since: when the oldest batch that is left was stored; null: none is left.
-- failed: a batch that cannot be folded, which is put off for ten minutes.
CREATE FUNCTION rollup_fold(p_batches int, p_events bigint) RETURNS TABLE (batches int, events bigint, held boolean, since timestamptz, failed text) LANGUAGE plpgsql
SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_batches bigint[];
BEGIN
    batches := 0;
    events := 0;
    held := NOT pg_try_advisory_xact_lock(hashtext('picket.rollup'));
    IF NOT held THEN
        PERFORM set_config('synchronous_commit', 'off', true); -- what a crash takes away is folded again
        SELECT array_agg(b.id ORDER BY b.id) INTO v_batches
          FROM (SELECT b.id, sum(b.events) OVER (ORDER BY b.id) - b.events AS before
                  FROM (SELECT b.id, b.events FROM rollup_batches b WHERE b.not_before IS NULL OR b.not_before <= now() ORDER BY b.id LIMIT p_batches) b) b
         WHERE b.before < p_events;
        WHILE v_batches IS NOT NULL LOOP
            BEGIN
                events := rollup_add(v_batches);
                DELETE FROM rollup_batches b WHERE b.id = ANY (v_batches);
                batches := cardinality(v_batches);
                EXIT;
            EXCEPTION WHEN OTHERS THEN
                IF left(SQLSTATE, 2) IN ('40', '53', '55', '57', '58') THEN -- it passes: all of it again
                    RAISE;
                END IF;
                failed := SQLSTATE || ' ' || SQLERRM;
                IF cardinality(v_batches) = 1 THEN
                    UPDATE rollup_batches b SET not_before = now() + interval '10 minutes' WHERE b.id = ANY (v_batches);
                    EXIT;
                END IF;
                v_batches := v_batches[1:1];
            END;
        END LOOP;
    END IF;
    SELECT b.stored_at INTO since FROM rollup_batches b ORDER BY b.id LIMIT 1;
    RETURN NEXT;
END $$;

-- ---- the digest

-- As in 0028, and rows bear tags (r_tags: tag_ids) and user (r_user), and the batch waits to be folded. p_low, p_high: the lowest and the highest of r_id.
CREATE FUNCTION digest_batch(
    p_node uuid, p_segment bigint, p_from bigint, p_to bigint, p_version smallint,
    g_project int[], g_hash bytea[], g_type text[], g_value text[], g_title text[], g_transaction text[],
    g_filename text[], g_module text[], g_function text[], g_level text[], g_platform text[],
    r_group int[], r_id uuid[], r_event_id uuid[], r_received timestamptz[], r_timestamp timestamptz[], r_title text[],
    r_level text[], r_platform text[], r_release text[], r_environment text[], r_server text[], r_sdk_name text[], r_sdk_version text[],
    r_addr inet[], r_payload bytea[], r_tags bytea[], r_user bigint[], p_low uuid, p_high uuid
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
                                environment, server_name, sdk_name, sdk_version, remote_addr, payload, tag_ids,
                                user_hash)
            SELECT g_project[r.grp], r.id, r.event_id, v_gid[r.grp], v_batch, r.received_at, r.timestamp, r.title, r.level, r.platform,
                   r.release, r.environment, r.server_name, r.sdk_name, r.sdk_version, r.addr, r.payload,
                   r.tags, r.user_hash
              FROM (SELECT unnest(r_group) AS grp, unnest(r_id) AS id, unnest(r_event_id) AS event_id, unnest(r_received) AS received_at,
                           unnest(r_timestamp) AS timestamp, unnest(r_title) AS title, unnest(r_level) AS level, unnest(r_platform) AS platform,
                           unnest(r_release) AS release, unnest(r_environment) AS environment, unnest(r_server) AS server_name,
                           unnest(r_sdk_name) AS sdk_name, unnest(r_sdk_version) AS sdk_version, unnest(r_addr) AS addr,
                           unnest(r_payload) AS payload, unnest(r_tags) AS tags, unnest(r_user) AS user_hash) r;
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
                                environment, server_name, sdk_name, sdk_version, remote_addr, payload, tag_ids,
                                user_hash)
            SELECT g_project[r.grp], r.id, r.event_id, v_gid[r.grp], v_batch, r.received_at, r.timestamp, r.title, r.level, r.platform,
                   r.release, r.environment, r.server_name, r.sdk_name, r.sdk_version, r.addr, r.payload,
                   r.tags, r.user_hash
              FROM unnest(r_group, r_id, r_event_id, r_received, r_timestamp, r_title, r_level, r_platform, r_release, r_environment,
                          r_server, r_sdk_name, r_sdk_version, r_addr, r_payload, r_tags, r_user) WITH ORDINALITY
                   r(grp, id, event_id, received_at, timestamp, title, level, platform, release, environment, server_name, sdk_name,
                     sdk_version, addr, payload, tags, user_hash, n)
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

    IF r_tags IS NOT NULL AND v_stored IS NOT NULL THEN
        INSERT INTO rollup_batches (id, projects, low, high, events)
        VALUES (v_batch, ARRAY(SELECT DISTINCT p.id FROM unnest(g_project) p(id) ORDER BY p.id), p_low, p_high, cardinality(v_stored));
    END IF;

    IF v_all THEN
        RETURN array_fill(1::smallint, ARRAY[cardinality(r_id)]);
    END IF;
    SELECT array_agg((CASE WHEN v_gid[r.grp] IS NULL THEN 2 WHEN s.id IS NULL THEN 0 ELSE 1 END)::smallint ORDER BY r.n)
      INTO v_outcome
      FROM unnest(r_group, r_id) WITH ORDINALITY r(grp, id, n) LEFT JOIN unnest(v_stored) s(id) ON s.id = r.id;
    RETURN v_outcome;
END $$;

-- As in 0022, with what digest_batch takes now.
CREATE FUNCTION digest_events(
    p_node uuid, p_segment bigint, p_from bigint, p_to bigint, p_version smallint,
    g_project int[], g_hash bytea[], g_type text[], g_value text[], g_title text[], g_transaction text[],
    g_filename text[], g_module text[], g_function text[], g_level text[], g_platform text[],
    r_group int[], r_id uuid[], r_event_id uuid[], r_received timestamptz[], r_timestamp timestamptz[], r_title text[],
    r_level text[], r_platform text[], r_release text[], r_environment text[], r_server text[], r_sdk_name text[], r_sdk_version text[],
    r_addr inet[], r_payload bytea[], r_key bigint[], r_category smallint[], r_bytes bigint[], r_tags bytea[], r_user bigint[],
    p_low uuid, p_high uuid
) RETURNS smallint[] LANGUAGE plpgsql SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_outcome smallint[];
    v_counts  boolean;
BEGIN
    -- The range is stored and the answer was lost: its rows need not be there any more to say so, retention may have thinned the day out meanwhile.
    IF p_to > p_from AND EXISTS (SELECT FROM digest_batches b
                                  WHERE b.node = p_node AND b.segment = p_segment AND b.from_offset = p_from AND b.to_offset = p_to) THEN
        RETURN array_fill(3::smallint, ARRAY[cardinality(r_id)]);
    END IF;
    v_outcome := digest_batch(
        p_node, p_segment, p_from, p_to, p_version, g_project, g_hash, g_type, g_value, g_title, g_transaction, g_filename, g_module,
        g_function, g_level, g_platform, r_group, r_id, r_event_id, r_received, r_timestamp, r_title, r_level, r_platform, r_release,
        r_environment, r_server, r_sdk_name, r_sdk_version, r_addr, r_payload, r_tags, r_user, p_low, p_high);
    v_counts := p_to > p_from AND (SELECT count(*) FROM digest_batches b
                                    WHERE b.node = p_node AND b.segment = p_segment AND b.from_offset = p_from AND b.to_offset > p_from) = 1;
    IF 0 = ANY (v_outcome) THEN
        SELECT array_agg(CASE WHEN r.outcome = 0 AND e.found THEN 3 ELSE r.outcome END::smallint ORDER BY r.n)
          INTO v_outcome
          FROM unnest(r_group, r_id, v_outcome) WITH ORDINALITY r(grp, id, outcome, n)
          LEFT JOIN LATERAL (SELECT true AS found FROM events e
                              WHERE r.outcome = 0 AND e.project_id = g_project[r.grp] AND e.id BETWEEN r.id AND r.id ORDER BY e.id LIMIT 1) e ON true;
        IF v_counts AND 0 = ANY (v_outcome) THEN
            PERFORM duplicate_cases(array_agg(g_project[r.grp]), array_agg(r.key), array_agg(r.event_id), array_agg(r.received_at),
                                    array_agg(r.category), array_agg(r.bytes), array_agg(r.sdk_name), array_agg(r.sdk_version))
               FROM unnest(r_group, r_key, r_event_id, r_received, r_category, r_bytes, r_sdk_name, r_sdk_version, v_outcome)
                    r(grp, key, event_id, received_at, category, bytes, sdk_name, sdk_version, outcome)
              WHERE r.outcome = 0;
        END IF;
    END IF;
    INSERT INTO outcomes AS o (project_id, hour, category, outcome, reason, key_id, quantity)
    SELECT g_project[r.grp], date_trunc('hour', r_received[1], 'UTC'), r.category, CASE r.outcome WHEN 1 THEN 0 ELSE 3 END,
           CASE r.outcome WHEN 1 THEN '' ELSE 'duplicate' END, r.key, count(*)
      FROM unnest(r_group, r_id, r_key, r_category, v_outcome) r(grp, id, key, category, outcome)
     WHERE r.outcome = 1 OR (r.outcome = 0 AND v_counts)
     GROUP BY 1, 3, 4, 5, 6 ORDER BY 1, 3, 4, 5, 6
        ON CONFLICT (project_id, hour, category, outcome, reason, key_id) DO UPDATE SET quantity = o.quantity + excluded.quantity;
    RETURN v_outcome;
END $$;

-- For the release before, which knows no tags: its events count in nothing here.
CREATE OR REPLACE FUNCTION digest_batch(
    p_node uuid, p_segment bigint, p_from bigint, p_to bigint, p_version smallint,
    g_project int[], g_hash bytea[], g_type text[], g_value text[], g_title text[], g_transaction text[],
    g_filename text[], g_module text[], g_function text[], g_level text[], g_platform text[],
    r_group int[], r_id uuid[], r_event_id uuid[], r_received timestamptz[], r_timestamp timestamptz[], r_title text[],
    r_level text[], r_platform text[], r_release text[], r_environment text[], r_server text[], r_sdk_name text[], r_sdk_version text[],
    r_addr inet[], r_payload bytea[]
) RETURNS smallint[] LANGUAGE sql VOLATILE AS $$
    SELECT digest_batch(p_node, p_segment, p_from, p_to, p_version, g_project, g_hash, g_type, g_value, g_title, g_transaction, g_filename, g_module,
                        g_function, g_level, g_platform, r_group, r_id, r_event_id, r_received, r_timestamp, r_title, r_level, r_platform, r_release,
                        r_environment, r_server, r_sdk_name, r_sdk_version, r_addr, r_payload,
                        NULL, NULL, NULL, NULL)
$$;
CREATE OR REPLACE FUNCTION digest_events(
    p_node uuid, p_segment bigint, p_from bigint, p_to bigint, p_version smallint,
    g_project int[], g_hash bytea[], g_type text[], g_value text[], g_title text[], g_transaction text[],
    g_filename text[], g_module text[], g_function text[], g_level text[], g_platform text[],
    r_group int[], r_id uuid[], r_event_id uuid[], r_received timestamptz[], r_timestamp timestamptz[], r_title text[],
    r_level text[], r_platform text[], r_release text[], r_environment text[], r_server text[], r_sdk_name text[], r_sdk_version text[],
    r_addr inet[], r_payload bytea[], r_key bigint[], r_category smallint[], r_bytes bigint[]
) RETURNS smallint[] LANGUAGE sql VOLATILE AS $$
    SELECT digest_events(p_node, p_segment, p_from, p_to, p_version, g_project, g_hash, g_type, g_value, g_title, g_transaction, g_filename, g_module,
                        g_function, g_level, g_platform, r_group, r_id, r_event_id, r_received, r_timestamp, r_title, r_level, r_platform, r_release,
                        r_environment, r_server, r_sdk_name, r_sdk_version, r_addr, r_payload, r_key, r_category, r_bytes,
                         NULL, NULL, NULL, NULL)
$$;

-- ---- what goes

-- Rows of issues that are deleted, an hour later, when no fold is under way that knew them; what was counted by the hour; and values that nobody sent any more.
-- At most about p_limit rows of each.
CREATE FUNCTION rollup_tidy(p_now timestamptz, p_days int, p_limit int) RETURNS bigint LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $$
DECLARE
    v_until timestamptz := retention_until(p_now, p_days);
    v_all   bigint := 0;
    v_gone  bigint;
    v_table text;
    v_old   int[];    -- projects and ids of tags that go, as the next
    v_tags  int[];
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('picket.rollup'));
    FOREACH v_table IN ARRAY ARRAY['issue_tags', 'issue_tag_keys', 'issue_users', 'issue_facts'] LOOP
        EXECUTE format('DELETE FROM %1$I WHERE ctid = ANY (ARRAY(
                            SELECT t.ctid FROM (SELECT * FROM rollup_leavings l WHERE l.since < $1 - interval ''1 hour'' ORDER BY l.since LIMIT $2) l
                              JOIN %1$I t ON t.project_id = l.project_id AND t.issue_id = l.issue_id LIMIT $2))', v_table) USING p_now, p_limit;
        GET DIAGNOSTICS v_gone = ROW_COUNT;
        v_all := v_all + v_gone;
    END LOOP;
    IF v_all < p_limit THEN
        DELETE FROM rollup_leavings l
         WHERE l.since < p_now - interval '1 hour'
           AND NOT EXISTS (SELECT FROM issue_tags t WHERE t.project_id = l.project_id AND t.issue_id = l.issue_id)
           AND NOT EXISTS (SELECT FROM issue_tag_keys t WHERE t.project_id = l.project_id AND t.issue_id = l.issue_id)
           AND NOT EXISTS (SELECT FROM issue_users t WHERE t.project_id = l.project_id AND t.issue_id = l.issue_id)
           AND NOT EXISTS (SELECT FROM issue_facts t WHERE t.project_id = l.project_id AND t.issue_id = l.issue_id);
    END IF;

    DELETE FROM tag_hours WHERE ctid = ANY (ARRAY(SELECT h.ctid FROM tag_hours h WHERE h.hour < v_until LIMIT p_limit));
    GET DIAGNOSTICS v_gone = ROW_COUNT;
    v_all := v_all + v_gone;

    -- A worker asks for a number again within the hour, and the day is noted then: a tag that goes has not been in use for days.
    SELECT array_agg(t.project_id), array_agg(t.id) INTO v_old, v_tags
      FROM (SELECT t.project_id, t.id FROM tags t WHERE t.asked_on < least(v_until, p_now - interval '2 days')::date AND t.value <> '' ORDER BY t.asked_on LIMIT p_limit / 10 + 1) t;
    IF v_old IS NULL THEN
        RETURN v_all;
    END IF;
    WITH gone AS (
        DELETE FROM issue_tags WHERE ctid = ANY (ARRAY(
            SELECT i.ctid FROM unnest(v_old, v_tags) t(project_id, id) JOIN issue_tags i ON i.project_id = t.project_id AND i.tag_id = t.id LIMIT p_limit))
        RETURNING project_id, issue_id, tag_id),
    of_keys AS (
        UPDATE issue_tag_keys k SET n_values = k.n_values - g.n
          FROM (SELECT g.project_id, g.issue_id, t.key_id, count(*) AS n FROM gone g JOIN tags t ON t.project_id = g.project_id AND t.id = g.tag_id GROUP BY 1, 2, 3) g
         WHERE k.project_id = g.project_id AND k.issue_id = g.issue_id AND k.key_id = g.key_id)
    SELECT count(*) INTO v_gone FROM gone;
    v_all := v_all + v_gone;
    IF v_gone >= p_limit THEN
        RETURN v_all;
    END IF;
    PERFORM FROM (SELECT DISTINCT t.project_id FROM unnest(v_old) t(project_id) ORDER BY t.project_id) t
           CROSS JOIN LATERAL (SELECT FROM tag_numbers n WHERE n.project_id = t.project_id FOR UPDATE) n; -- whoever asks for one of them now asks before, or makes it anew
    WITH old AS MATERIALIZED (
        SELECT t.project_id, t.id, t.key_id FROM unnest(v_old, v_tags) o(project_id, id) JOIN tags t ON t.project_id = o.project_id AND t.id = o.id
         WHERE t.asked_on < least(v_until, p_now - interval '2 days')::date),
    of_project AS (
        DELETE FROM project_tags p USING old o WHERE p.project_id = o.project_id AND p.key_id = o.key_id AND p.tag_id = o.id),
    by_the_hour AS (DELETE FROM tag_hours h USING old o WHERE h.project_id = o.project_id AND h.tag_id = o.id),
    gone AS (DELETE FROM tags t USING old o WHERE t.project_id = o.project_id AND t.id = o.id RETURNING t.project_id, t.key_id),
    of_keys AS (
        UPDATE tag_keys k SET n_values = k.n_values - g.n FROM (SELECT project_id, key_id, count(*) AS n FROM gone GROUP BY 1, 2) g
         WHERE k.project_id = g.project_id AND k.id = g.key_id),
    numbers AS (
        UPDATE tag_numbers n SET n_tags = n.n_tags - g.n FROM (SELECT project_id, count(*) AS n FROM gone GROUP BY 1) g WHERE n.project_id = g.project_id)
    SELECT count(*) INTO v_gone FROM gone;
    RETURN v_all + v_gone;
END $$;

ALTER FUNCTION retention_tidy(timestamptz, int, int) RENAME TO retention_tidy_hours;
CREATE FUNCTION retention_tidy(p_now timestamptz, p_days int, p_limit int) RETURNS bigint LANGUAGE sql AS $$
    SELECT retention_tidy_hours(p_now, p_days, p_limit) + rollup_tidy(p_now, p_days, p_limit)
$$;

-- Whose events are to be erased is no user of their issues from then on. How many there were is nobody's data.
CREATE FUNCTION erasure_rows_found() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    DELETE FROM issue_users u
     USING (SELECT DISTINCT e.project_id, g.issue_id, e.user_hash
              FROM found f
              JOIN events e ON e.project_id = f.project_id AND e.id = f.id
              JOIN groupings g ON g.project_id = e.project_id AND g.id = e.grouping_id
             WHERE e.user_hash IS NOT NULL) e
     WHERE u.project_id = e.project_id AND u.issue_id = e.issue_id AND u.user_hash = e.user_hash;
    RETURN NULL;
END $$;
CREATE TRIGGER erasure_rows_found AFTER INSERT ON erasure_rows REFERENCING NEW TABLE AS found FOR EACH STATEMENT EXECUTE FUNCTION erasure_rows_found();
