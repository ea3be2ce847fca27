-- The roll-up, mended.
--
--   cost     what is counted refers to its project no more: of the time of a fold, three eighths went into asking for each new row whether its project is there (a fold reads
--            only projects that are), and a fold held the project's row, for which its deletion or a new name waited. What is counted for a project that is deleted
--            goes by projects_tidy(), which has the lock of the roll-up before it has any other
--   erased   an event that was found to belong to an erased person before it is counted counts without its user; tags that name the person go, too
--   order    the first release of an issue is that of its first event, in whatever order batches are folded
--   failing  of a group that cannot be folded the first half is tried next; what cannot be folded in time even alone can be put off (rollup_put_off)
--
-- To drop the references takes a moment for which nobody may have any of these tables and projects: projects first, as everybody asks for them.

LOCK TABLE all_projects IN ACCESS EXCLUSIVE MODE;
ALTER TABLE issue_tags DROP CONSTRAINT issue_tags_project_id_fkey;
ALTER TABLE issue_tag_keys DROP CONSTRAINT issue_tag_keys_project_id_fkey;
ALTER TABLE issue_users DROP CONSTRAINT issue_users_project_id_fkey;
ALTER TABLE issue_facts DROP CONSTRAINT issue_facts_project_id_fkey;
ALTER TABLE project_tags DROP CONSTRAINT project_tags_project_id_fkey;
ALTER TABLE tag_hours DROP CONSTRAINT tag_hours_project_id_fkey;

ALTER TABLE issue_facts ADD COLUMN first_release_at timestamptz; -- null: of before this was known

-- As in 0037, but for the users of erased events and the first release.
CREATE OR REPLACE FUNCTION rollup_add(p_batches bigint[]) RETURNS bigint LANGUAGE plpgsql
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
    v_erases  boolean := EXISTS (SELECT FROM erasure_rows);
BEGIN
    WITH seen AS MATERIALIZED (
        SELECT e.project_id, g.issue_id, e.received_at, e.tag_ids,
               CASE WHEN v_erases AND EXISTS (SELECT FROM erasure_rows r WHERE r.project_id = e.project_id AND r.id = e.id) THEN NULL ELSE e.user_hash END AS user_hash
          FROM rollup_batches b
         CROSS JOIN LATERAL unnest(b.projects) u(project_id)
         CROSS JOIN LATERAL (SELECT FROM projects p WHERE p.id = u.project_id LIMIT 1) p
         CROSS JOIN LATERAL (
            SELECT e.project_id, e.id, e.grouping_id, e.received_at, e.tag_ids, e.user_hash FROM events e
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
        INSERT INTO issue_facts AS f (project_id, issue_id, users, users_kept, first_release, last_release, first_release_at, last_release_at)
        SELECT i.project_id, i.issue_id, count(*) FILTER (WHERE i.is_user), count(*) FILTER (WHERE i.is_user),
               (array_agg(i.release ORDER BY i.first_at, i.release) FILTER (WHERE i.release IS NOT NULL))[1],
               (array_agg(i.release ORDER BY i.last_at DESC, i.release DESC) FILTER (WHERE i.release IS NOT NULL))[1], min(i.first_at), max(i.last_at)
          FROM (SELECT DISTINCT s.project_id, s.issue_id, false AS is_user, NULL::int AS release, NULL::timestamptz AS first_at, NULL::timestamptz AS last_at FROM seen s
                 UNION ALL
                SELECT u.project_id, u.issue_id, true, NULL, NULL, NULL FROM of_users u WHERE u.is_new
                 UNION ALL
                SELECT j.project_id, j.issue_id, false, j.tag_id, j.first_at, j.last_at FROM by_issue j WHERE j.key = 'release') i
         GROUP BY 1, 2 ORDER BY 1, 2
            ON CONFLICT (project_id, issue_id) DO UPDATE
           SET users_kept = f.users_kept + excluded.users_kept, users = (f.users_kept + excluded.users_kept)::bigint << f.users_level,
               first_release = CASE WHEN f.first_release IS NULL OR f.first_release_at > excluded.first_release_at THEN coalesce(excluded.first_release, f.first_release)
                                    ELSE f.first_release END,
               first_release_at = CASE WHEN f.first_release IS NULL OR f.first_release_at > excluded.first_release_at THEN excluded.first_release_at ELSE f.first_release_at END,
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

-- As in 0037, but for what is tried after a failure.
CREATE OR REPLACE FUNCTION rollup_fold(p_batches int, p_events bigint) RETURNS TABLE (batches int, events bigint, held boolean, since timestamptz, failed text) LANGUAGE plpgsql
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
                v_batches := v_batches[1 : cardinality(v_batches) / 2];
            END;
        END LOOP;
    END IF;
    SELECT b.stored_at INTO since FROM rollup_batches b ORDER BY b.id LIMIT 1;
    RETURN NEXT;
END $$;

-- As in 0035, and what the roll-up counted, when no fold is under way; a later one does not see the project.
CREATE OR REPLACE FUNCTION projects_tidy(p_limit int) RETURNS bigint LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $$
DECLARE
    v_project int := (SELECT min(p.id) FROM all_projects p WHERE p.deleted_at IS NOT NULL);
    v_table   regclass;
    v_gone    bigint;
BEGIN
    IF v_project IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('picket.rollup'));
    PERFORM FROM project_turns t WHERE t.project_id = v_project FOR UPDATE; -- batches with events of its issues take it first, too
    FOR v_table IN
        SELECT u.t::regclass FROM unnest(ARRAY['issue_tags', 'issue_tag_keys', 'issue_users', 'issue_facts', 'project_tags', 'tag_hours']) u(t)
         UNION ALL
        (SELECT c.conrelid::regclass FROM pg_constraint c WHERE c.contype = 'f' AND c.confrelid IN ('issues'::regclass, 'all_projects'::regclass)
          GROUP BY c.conrelid ORDER BY bool_or(c.confrelid = 'issues'::regclass) DESC, c.conrelid)
    LOOP
        EXECUTE format('DELETE FROM %1$s WHERE ctid = ANY (ARRAY(SELECT ctid FROM %1$s WHERE project_id = $1 LIMIT $2))', v_table) USING v_project, p_limit;
        GET DIAGNOSTICS v_gone = ROW_COUNT;
        IF v_gone > 0 THEN
            RETURN v_gone;
        END IF;
    END LOOP;
    DELETE FROM all_projects p WHERE p.id = v_project;
    RETURN 1;
END $$;

-- The roll-up's lock before others: a fold is not waited for with them in hand. Those of tags' numbers, for which batches wait, still come last.
CREATE OR REPLACE FUNCTION retention_tidy(p_now timestamptz, p_days int, p_limit int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_gone bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('picket.rollup'));
    v_gone := retention_tidy_hours(p_now, p_days, p_limit);
    RETURN v_gone + rollup_tidy(p_now, p_days, p_limit);
END $$;

-- The oldest batch that is due, for ten minutes. False: there is none, or somebody folds.
CREATE FUNCTION rollup_put_off() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('picket.rollup')) THEN
        RETURN false;
    END IF;
    UPDATE rollup_batches b SET not_before = now() + interval '10 minutes'
     WHERE b.id = (SELECT o.id FROM rollup_batches o WHERE o.not_before IS NULL OR o.not_before <= now() ORDER BY o.id LIMIT 1);
    RETURN FOUND;
END $$;

-- As in 0037, between two folds: one that is under way has counted, or sees that these are to be erased.
CREATE OR REPLACE FUNCTION erasure_rows_found() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('picket.rollup'));
    DELETE FROM issue_users u
     USING (SELECT DISTINCT e.project_id, g.issue_id, e.user_hash
              FROM found f
              JOIN events e ON e.project_id = f.project_id AND e.id = f.id
              JOIN groupings g ON g.project_id = e.project_id AND g.id = e.grouping_id
             WHERE e.user_hash IS NOT NULL) e
     WHERE u.project_id = e.project_id AND u.issue_id = e.issue_id AND u.user_hash = e.user_hash;
    RETURN NULL;
END $$;

-- A tag that names an erased person: its value is the person's key, in whatever case and also behind the field's name ("email:…"), and that is an e-mail or network
-- address, or the tag's own name says that it is somebody's. Such a tag counts as one that nobody sent for long, so that rollup_tidy() takes it and its counts. If others send it
-- again it is numbered anew, and goes again while the request is not forgotten.
CREATE FUNCTION erasure_tags(p_limit int) RETURNS bigint LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    v_gone bigint;
BEGIN
    WITH named AS (
        SELECT t.project_id, t.id
          FROM erasures e
          JOIN tags t ON t.project_id = e.project_id AND lower(t.value) IN (lower(left(e.key, 200)), lower(left(e.field || ':' || e.key, 200)))
         WHERE e.forgotten_at IS NULL AND e.horizon >= 0 AND e.key <> '' AND t.asked_on > '1970-01-01'
           AND (t.value ~ '[@:]' OR e.key ~ '^[0-9.]+[.][0-9]+$' OR t.key ~* '(user|mail|customer|account|login|person|client|tenant|addr)')
         LIMIT p_limit)
    UPDATE tags t SET asked_on = '1970-01-01' FROM named n WHERE t.project_id = n.project_id AND t.id = n.id;
    GET DIAGNOSTICS v_gone = ROW_COUNT;
    RETURN v_gone;
END $$;
ALTER FUNCTION erasure_tidy(timestamptz, int, boolean) RENAME TO erasure_tidy_counted;
CREATE FUNCTION erasure_tidy(p_now timestamptz, p_limit int, p_scanned boolean) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_gone bigint := erasure_tags(p_limit);
BEGIN
    RETURN CASE WHEN v_gone > 0 THEN v_gone ELSE erasure_tidy_counted(p_now, p_limit, p_scanned) END;
END $$;
