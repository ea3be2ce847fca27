-- Issues are searched (src/api/query.c is the language), sorted by more than one thing, assigned, and changed many at a time.
--
-- What an issue costs when it is made or counted is what bounds the digest, so little is added there: two entries in indexes that grow at their end or hardly
-- change. Its text is indexed behind the digest's back (issue_texts), and what was not yet is looked at row by row.

-- ---- what issues have

ALTER TABLE issues ADD COLUMN assignee_id int REFERENCES users ON DELETE SET NULL;
CREATE INDEX issues_assignee ON issues (assignee_id, project_id) WHERE assignee_id IS NOT NULL;
ALTER TABLE issue_transitions ADD COLUMN assignee_id int; -- of 'assigned'
ALTER TABLE issue_transitions DROP CONSTRAINT issue_transitions_kind_check,
    ADD CONSTRAINT issue_transitions_kind_check
        CHECK (kind IN ('new', 'regressed', 'resolved', 'unresolved', 'muted', 'unmuted', 'assigned', 'unassigned')) NOT VALID; -- what is there obeyed less

-- Lists by the number of events: as with seen_second, the index knows the power of two, so that an issue moves in it when its number has doubled, and within
-- one lists sort.
CREATE FUNCTION issue_events_class(p_events bigint) RETURNS smallint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT floor(ln(greatest(p_events, 1)::float8) / ln(2::float8))::smallint
$$;
ALTER TABLE issues ADD COLUMN events_class smallint NOT NULL
    GENERATED ALWAYS AS (floor(ln(greatest(event_count, 1)::float8) / ln(2::float8))::smallint) STORED;
CREATE INDEX issues_events_class ON issues (project_id, events_class) WHERE number > 0;
CREATE INDEX issues_first_seen ON issues (project_id, first_seen) WHERE number > 0;

-- Where an issue came up, as far as its first event says.
CREATE FUNCTION issue_culprit(p_transaction text, p_module text, p_filename text, p_function text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN p_transaction <> '' THEN p_transaction
                WHEN p_function = '' THEN coalesce(nullif(p_module, ''), p_filename)
                WHEN p_module = '' AND p_filename = '' THEN p_function
                ELSE coalesce(nullif(p_module, ''), p_filename) || ' in ' || p_function END
$$;

-- ---- text

-- What free text is looked for in.
CREATE FUNCTION issue_text(p_title text, p_value text, p_culprit text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT p_title || CASE WHEN position(p_value IN p_title) > 0 THEN '' ELSE E'\n' || p_value END || E'\n' || p_culprit
$$;

-- Of issues up to issue_texts_upto. Numbers are given in the transaction that makes the issue, one transaction of a project after the other: below the highest
-- that can be seen none is still to come.
CREATE TABLE issue_texts (
    project_id int NOT NULL,
    issue_id   uuid NOT NULL,
    body       text NOT NULL,
    PRIMARY KEY (project_id, issue_id),
    FOREIGN KEY (project_id, issue_id) REFERENCES issues ON DELETE CASCADE
);
CREATE TABLE issue_texts_upto (
    project_id int PRIMARY KEY REFERENCES all_projects ON DELETE CASCADE,
    number     int NOT NULL
);

-- The extension comes with PostgreSQL (Debian: in the server's package) and whoever owns the database may create it. Without it text is looked for in all of a
-- project's issues; README says how to have it later.
CREATE FUNCTION issue_texts_index() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
    CREATE INDEX IF NOT EXISTS issue_texts_trigrams ON issue_texts USING gin (body gin_trgm_ops);
    RETURN true;
EXCEPTION WHEN insufficient_privilege OR undefined_file OR feature_not_supported OR undefined_object THEN
    RAISE NOTICE 'issues are searched without an index of their text: %', SQLERRM;
    RETURN false;
END $$;
SELECT issue_texts_index();

-- Takes over the texts of at most p_limit issues; are there more? Whoever comes second while one is at it leaves it to that one.
CREATE FUNCTION issue_texts_fill(p_limit int) RETURNS boolean LANGUAGE plpgsql
SET enable_seqscan = off SET jit = off AS $$
DECLARE
    p      record;
    v_left int := p_limit;
    v_rows int;
    v_last int;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('picket.issue_texts')) THEN
        RETURN false;
    END IF;
    FOR p IN
        SELECT n.project_id, n.last_issue, coalesce(u.number, 0) AS upto
          FROM project_numbering n LEFT JOIN issue_texts_upto u ON u.project_id = n.project_id
         WHERE n.last_issue > coalesce(u.number, 0) ORDER BY n.project_id
    LOOP
        IF v_left = 0 THEN
            RETURN true;
        END IF;
        WITH next AS MATERIALIZED (
            SELECT i.project_id, i.id, i.number, issue_text(i.title, i.value, issue_culprit(i.transaction, i.frame_module, i.frame_filename, i.frame_function)) AS body
              FROM issues i WHERE i.project_id = p.project_id AND i.number > p.upto AND i.number <= p.last_issue ORDER BY i.number LIMIT v_left),
        taken AS (INSERT INTO issue_texts (project_id, issue_id, body) SELECT x.project_id, x.id, x.body FROM next x ORDER BY x.id ON CONFLICT DO NOTHING)
        SELECT count(*), max(x.number) INTO v_rows, v_last FROM next x;
        INSERT INTO issue_texts_upto AS u (project_id, number) VALUES (p.project_id, CASE WHEN v_rows < v_left THEN p.last_issue ELSE v_last END)
            ON CONFLICT (project_id) DO UPDATE SET number = excluded.number;
        v_left := v_left - v_rows;
    END LOOP;
    RETURN v_left = 0;
END $$;

-- ---- what lists and details show

-- Those of them that are there, in their order; place: in the arrays. Sparklines end with the hour and the day (UTC) of p_now.
CREATE FUNCTION issue_items(p_projects int[], p_issues uuid[], p_now timestamptz)
RETURNS TABLE (id uuid, short_id text, title text, value text, first_seen timestamptz, last_seen timestamptz, event_count bigint, level text, platform text,
               is_resolved boolean, is_muted boolean, project_id int, type text, culprit text, users bigint, assignee_id int, assignee text, last_release text,
               stats_24h json, stats_14d json, place bigint)
LANGUAGE plpgsql STABLE ROWS 20
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    v_hour timestamptz := date_trunc('hour', p_now, 'UTC') - interval '23 hours';
    v_day  timestamptz := date_trunc('day', p_now, 'UTC') - interval '13 days';
    v_zero_hours bigint[] := array_fill(0::bigint, ARRAY[24]);
    v_zero_days  bigint[] := array_fill(0::bigint, ARRAY[14]);
    v_hours bigint[];
    v_days  bigint[];
    v_at int;
    h record;
BEGIN
    FOR id, short_id, title, value, first_seen, last_seen, event_count, level, platform, is_resolved, is_muted, project_id, type, culprit, users, assignee_id, assignee,
        last_release, place IN
    SELECT i.id, upper(p.slug) || '-' || i.number, i.title, i.value, i.first_seen, i.last_seen, i.event_count, i.level, i.platform, i.is_resolved, i.is_muted,
           i.project_id, i.type, issue_culprit(i.transaction, i.frame_module, i.frame_filename, i.frame_function), coalesce(f.users, 0), i.assignee_id, u.email,
           nullif(r.value, ''), k.n
      FROM unnest(p_projects, p_issues) WITH ORDINALITY k(project_id, id, n)
      JOIN issues i ON i.project_id = k.project_id AND i.id = k.id
      JOIN projects p ON p.id = i.project_id
      LEFT JOIN users u ON u.id = i.assignee_id
      LEFT JOIN issue_facts f ON f.project_id = i.project_id AND f.issue_id = i.id
      LEFT JOIN tags r ON r.project_id = f.project_id AND r.id = f.last_release
     ORDER BY k.n
    LOOP
        v_hours := v_zero_hours;
        v_days := v_zero_days;
        FOR h IN SELECT extract(epoch FROM x.hour - v_hour)::int / 3600 AS hour, extract(epoch FROM x.hour - v_day)::int / 86400 AS day, x.events
                   FROM issue_hours x WHERE x.project_id = issue_items.project_id AND x.issue_id = issue_items.id AND x.hour >= v_day LOOP
            IF h.hour BETWEEN 0 AND 23 THEN
                v_hours[h.hour + 1] := v_hours[h.hour + 1] + h.events;
            END IF;
            IF h.day <= 13 THEN
                v_days[h.day + 1] := v_days[h.day + 1] + h.events;
            END IF;
        END LOOP;
        stats_24h := to_json(v_hours);
        stats_14d := to_json(v_days);
        RETURN NEXT;
    END LOOP;
END $$;

-- ---- searching

-- Conditions as the text of a WHERE clause over issues i. The text is made of what stands here and of positions: values are not in it, they are elements of the
-- arrays $3 to $6 of the statement that issues_search() makes. Conditions of a group are alternatives.
CREATE FUNCTION issues_conditions(p_groups int[], p_negated boolean[], p_fields text[], p_keys text[], p_ops text[]) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    v_all  text := '';
    v_some text := '';
    v_one  text;
    v_op   text;
BEGIN
    FOR n IN 1 .. cardinality(p_fields) LOOP
        v_op := CASE p_ops[n] WHEN '<' THEN '<' WHEN '<=' THEN '<=' WHEN '>' THEN '>' WHEN '>=' THEN '>=' ELSE '=' END;
        v_one := CASE p_fields[n]
            WHEN 'unresolved' THEN 'NOT i.is_resolved'
            WHEN 'open' THEN 'NOT i.is_resolved AND NOT i.is_muted'
            WHEN 'resolved' THEN 'i.is_resolved'
            WHEN 'muted' THEN 'i.is_muted AND NOT i.is_resolved'
            WHEN 'assigned' THEN 'i.assignee_id IS NOT NULL'
            WHEN 'unassigned' THEN 'i.assignee_id IS NULL'
            WHEN 'assigned_to_me' THEN 'i.assignee_id = $2'
            WHEN 'not_assigned_to' THEN 'i.assignee_id IS DISTINCT FROM $4[%1$s]'
            WHEN 'assignee' THEN 'i.assignee_id IN (SELECT u.id FROM users u WHERE u.email ILIKE $3[%1$s])'
            WHEN 'level' THEN 'i.level ILIKE $3[%1$s]'
            WHEN 'platform' THEN 'i.platform ILIKE $3[%1$s]'
            WHEN 'type' THEN 'i.type ILIKE $3[%1$s]'
            WHEN 'value' THEN 'i.value ILIKE $3[%1$s]'
            WHEN 'title' THEN 'i.title ILIKE $3[%1$s]'
            WHEN 'culprit' THEN 'issue_culprit(i.transaction, i.frame_module, i.frame_filename, i.frame_function) ILIKE $3[%1$s]'
            WHEN 'text' THEN 'issue_text(i.title, i.value, issue_culprit(i.transaction, i.frame_module, i.frame_filename, i.frame_function)) ILIKE $3[%1$s]'
            WHEN 'short_id' THEN 'i.number = $4[%1$s] AND i.project_id IN (SELECT s.id FROM projects s WHERE lower(s.slug) = lower($3[%1$s]))'
            WHEN 'times_seen' THEN 'i.event_count %2$s $4[%1$s]'
            WHEN 'users_seen' THEN 'coalesce((SELECT f.users FROM issue_facts f WHERE f.project_id = i.project_id AND f.issue_id = i.id), 0) %2$s $4[%1$s]'
            WHEN 'first_seen' THEN 'i.first_seen %2$s $6[%1$s]'
            WHEN 'last_seen' THEN 'i.last_seen %2$s $6[%1$s]' ||
                CASE WHEN v_op IN ('>', '>=') THEN ' AND i.seen_second >= date_bin(''1 second'', $6[%1$s], timestamptz ''2000-01-01 00:00:00+00'')'
                     WHEN v_op IN ('<', '<=') THEN ' AND i.seen_second <= $6[%1$s]' ELSE '' END
            WHEN 'user' THEN 'EXISTS (SELECT FROM issue_users s WHERE s.project_id = i.project_id AND s.user_hash = $4[%1$s] AND s.issue_id = i.id)'
            WHEN 'tag_is' THEN 'EXISTS (SELECT FROM tags k JOIN issue_tags t ON t.project_id = k.project_id AND t.tag_id = k.id
                WHERE k.project_id = i.project_id AND k.key = $5[%1$s] AND k.value = $3[%1$s] AND k.value <> '''' AND t.issue_id = i.id)'
            WHEN 'tag' THEN 'EXISTS (SELECT FROM tags k JOIN issue_tags t ON t.project_id = k.project_id AND t.tag_id = k.id
                WHERE k.project_id = i.project_id AND k.key = $5[%1$s] AND k.value ILIKE $3[%1$s] AND k.value <> '''' AND t.issue_id = i.id)'
            WHEN 'has_tag' THEN 'EXISTS (SELECT FROM tag_keys k JOIN issue_tag_keys t ON t.project_id = k.project_id AND t.key_id = k.id
                WHERE k.project_id = i.project_id AND k.key = $5[%1$s] AND t.issue_id = i.id)'
            WHEN 'has_text' THEN CASE p_keys[n]
                WHEN 'level' THEN 'i.level <> ''''' WHEN 'platform' THEN 'i.platform <> ''''' WHEN 'type' THEN 'i.type <> ''''' WHEN 'value' THEN 'i.value <> '''''
                WHEN 'culprit' THEN 'issue_culprit(i.transaction, i.frame_module, i.frame_filename, i.frame_function) <> ''''' END
            END;
        IF v_one IS NULL THEN
            RAISE EXCEPTION 'condition % is of no field that is known', n;
        END IF;
        v_some := v_some || CASE WHEN v_some = '' THEN '' ELSE ' OR ' END || '(' || format(v_one, n, v_op) || ')';
        IF p_groups[n + 1] IS DISTINCT FROM p_groups[n] THEN
            v_all := v_all || CASE WHEN p_negated[n] THEN ' AND (' || v_some || ') IS NOT TRUE' ELSE ' AND (' || v_some || ')' END;
            v_some := '';
        END IF;
    END LOOP;
    RETURN v_all;
END $$;

-- Issues of projects that meet all conditions, in order; p_state: open, resolved, muted or all. p_count: also how many there are, counted up to there; a row with
-- nothing else when there are none. p_after_*: only those behind that one. Text that few issues have is looked for first, by its index; else the sort's index is walked,
-- in each project, until there are enough. The statement is planned with its values each time, as which way is good depends on them.
CREATE FUNCTION issues_search(
    p_projects int[], p_user int, p_state text, p_groups int[], p_negated boolean[], p_fields text[], p_keys text[], p_ops text[], p_texts text[], p_numbers bigint[],
    p_times timestamptz[], p_sort text, p_order text, p_limit bigint, p_offset bigint, p_count bigint, p_after_at timestamptz, p_after_n bigint, p_after_id uuid)
RETURNS TABLE (total bigint, project_id int, issue_id uuid, at timestamptz, n bigint) LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    FEW        CONSTANT int := 1000;
    v_where    text := ' AND i.number > 0' || -- as indexes have it
                       CASE p_state WHEN 'open' THEN ' AND NOT i.is_resolved AND NOT i.is_muted' WHEN 'resolved' THEN ' AND i.is_resolved'
                                    WHEN 'muted' THEN ' AND i.is_muted AND NOT i.is_resolved' ELSE '' END
                       || issues_conditions(p_groups, p_negated, p_fields, p_keys, p_ops);
    v_d        text := CASE p_order WHEN 'asc' THEN ' ASC' ELSE ' DESC' END;
    v_beyond   text := CASE p_order WHEN 'asc' THEN ' > ' ELSE ' < ' END;
    v_texts    text;   -- what the text must be like
    v_key      text;   -- of the sort: its columns at and n
    v_sort     text;   -- of columns
    v_after    text := '';
    v_from     text := ' FROM issues i';
    v_own      text := ' i.project_id = p.id';
    v_projects int[];  -- of the few that have the text, as the next
    v_ids      uuid[];
    v_total    bigint;
BEGIN
    SELECT string_agg(format('x.body ILIKE $3[%s]', c.n), ' AND ') INTO v_texts
      FROM unnest(p_fields, p_negated) WITH ORDINALITY c(field, negated, n) WHERE c.field = 'text' AND NOT c.negated;
    IF v_texts IS NOT NULL THEN
        EXECUTE format($q$
            SELECT array_agg(h.project_id), array_agg(h.id)
              FROM ((SELECT x.project_id, x.issue_id AS id FROM issue_texts x WHERE x.project_id = ANY ($1) AND %1$s LIMIT $2)
                    UNION ALL
                    (SELECT x.project_id, x.id
                       FROM unnest($1) p(id) LEFT JOIN issue_texts_upto u ON u.project_id = p.id
                      CROSS JOIN LATERAL (
                        SELECT i.project_id, i.id, issue_text(i.title, i.value, issue_culprit(i.transaction, i.frame_module, i.frame_filename, i.frame_function)) AS body
                          FROM issues i WHERE i.project_id = p.id AND i.number > coalesce(u.number, 0)) x
                      WHERE %1$s LIMIT $2)) h$q$, v_texts)
           INTO v_projects, v_ids USING p_projects, FEW + 1, p_texts;
        IF v_ids IS NULL OR cardinality(v_ids) <= FEW THEN
            v_from := ' FROM unnest($12, $13) h(project_id, id) JOIN issues i ON i.project_id = h.project_id AND i.id = h.id';
            v_own := ' true';
        END IF;
    END IF;

    CASE p_sort
        WHEN 'last_seen' THEN
            v_key := 'i.last_seen AS at, NULL::bigint AS n';
            v_sort := format('i.seen_second%1$s, i.last_seen%1$s, i.id%1$s', v_d);
            v_after := '(i.seen_second, i.last_seen, i.id)' || v_beyond || '(date_bin(''1 second'', $9, timestamptz ''2000-01-01 00:00:00+00''), $9, $11)';
        WHEN 'first_seen' THEN
            v_key := 'i.first_seen AS at, NULL::bigint AS n';
            v_sort := format('i.first_seen%1$s, i.id%1$s', v_d);
            v_after := '(i.first_seen, i.id)' || v_beyond || '($9, $11)';
        WHEN 'events' THEN
            v_key := 'NULL::timestamptz AS at, i.event_count AS n';
            v_sort := format('i.events_class%1$s, i.event_count%1$s, i.id%1$s', v_d);
            v_after := '(i.events_class, i.event_count, i.id)' || v_beyond || '(issue_events_class($10), $10, $11)';
        WHEN 'users' THEN
            v_key := 'NULL::timestamptz AS at, coalesce(f.users, 0) AS n';
            v_sort := format('coalesce(f.users, 0)%1$s, i.id%1$s', v_d);
            v_after := '(coalesce(f.users, 0), i.id)' || v_beyond || '($10, $11)';
            v_from := v_from || ' LEFT JOIN issue_facts f ON f.project_id = i.project_id AND f.issue_id = i.id';
        ELSE
            v_key := 'NULL::timestamptz AS at, i.number::bigint AS n';
            v_sort := format('i.number%1$s, i.id%1$s', v_d);
            v_after := '(i.number, i.id)' || v_beyond || '($10, $11)';
    END CASE;

    IF p_count IS NOT NULL AND cardinality(p_fields) = 0 AND cardinality(p_projects) = 1 THEN
        v_total := issue_count(p_projects[1], p_state);
    ELSIF p_count IS NOT NULL THEN
        EXECUTE format('SELECT count(*) FROM (SELECT FROM unnest($1) p(id) CROSS JOIN LATERAL (SELECT%1$s WHERE%2$s%3$s LIMIT $7) r LIMIT $7) c',
                       v_from, v_own, v_where || CASE v_own WHEN ' true' THEN ' AND i.project_id = p.id' ELSE '' END)
           INTO v_total USING p_projects, p_user, p_texts, p_numbers, p_keys, p_times, p_count, 0, p_after_at, p_after_n, p_after_id, v_projects, v_ids;
    END IF;

    v_where := v_where || CASE WHEN p_after_id IS NULL THEN '' ELSE ' AND ' || v_after END;
    RETURN QUERY EXECUTE
        CASE v_own WHEN ' true' THEN
            format('SELECT $14, i.project_id, i.id, %1$s%2$s WHERE true%3$s ORDER BY %4$s LIMIT $7 OFFSET $8', v_key, v_from, v_where, v_sort)
        ELSE
            format('SELECT $14, r.project_id, r.id, r.at, r.n FROM unnest($1) p(id) CROSS JOIN LATERAL (
                        SELECT i.project_id, i.id, %1$s%2$s WHERE%3$s%4$s ORDER BY %5$s LIMIT $7 + $8) r
                     ORDER BY r.at%6$s, r.n%6$s, r.id%6$s LIMIT $7 OFFSET $8', v_key, v_from, v_own, v_where, v_sort, v_d)
        END USING p_projects, p_user, p_texts, p_numbers, p_keys, p_times, p_limit, p_offset, p_after_at, p_after_n, p_after_id, v_projects, v_ids, v_total;
    IF NOT FOUND AND p_count IS NOT NULL THEN
        total := v_total;
        RETURN NEXT;
    END IF;
END $$;

-- ---- changing

-- Resolves, unresolves, mutes or unmutes issues (p_action; null: none of it) and assigns them (p_assigns; p_assignee null: to nobody), and notes for each what that
-- changed, by p_user, at p_at. Gives those that are there, and whether they changed; not those that p_action does not suit: what is resolved is not muted. The project's
-- turn comes before its issues, as for batches; rows are locked before they are looked at, so what is noted is of what really was there.
CREATE FUNCTION issues_change(p_project int, p_issues uuid[], p_action text, p_assigns boolean, p_assignee int, p_user int, p_at timestamptz)
RETURNS TABLE (issue_id uuid, is_changed boolean) LANGUAGE plpgsql
SET enable_seqscan = off SET jit = off AS $$
#variable_conflict use_column
BEGIN
    IF p_assigns AND p_assignee IS NOT NULL AND NOT EXISTS (SELECT FROM users u WHERE u.id = p_assignee AND u.is_active AND user_sees(u.id, p_project)) THEN
        RAISE EXCEPTION 'user % does not see project %', p_assignee, p_project USING ERRCODE = 'foreign_key_violation';
    END IF;
    PERFORM FROM project_turns t WHERE t.project_id = p_project FOR NO KEY UPDATE;
    RETURN QUERY
    WITH was AS MATERIALIZED (
        SELECT i.id, i.is_resolved, i.is_muted, i.assignee_id FROM issues i
         WHERE i.project_id = p_project AND i.id = ANY (p_issues) AND NOT (p_action IS NOT DISTINCT FROM 'mute' AND i.is_resolved)
           AND EXISTS (SELECT FROM projects p WHERE p.id = p_project)
         ORDER BY i.id FOR NO KEY UPDATE),
    shall AS MATERIALIZED (
        SELECT w.id, w.is_resolved AS was_resolved, w.is_muted AS was_muted, w.assignee_id AS was_assigned,
               CASE p_action WHEN 'resolve' THEN true WHEN 'unresolve' THEN false ELSE w.is_resolved END AS is_resolved,
               CASE p_action WHEN 'resolve' THEN false WHEN 'mute' THEN true WHEN 'unmute' THEN false ELSE w.is_muted END AS is_muted,
               CASE WHEN p_assigns THEN p_assignee ELSE w.assignee_id END AS assignee_id
          FROM was w),
    changed AS (
        UPDATE issues i SET is_resolved = s.is_resolved, is_muted = s.is_muted, assignee_id = s.assignee_id,
               resolved_at = CASE WHEN s.is_resolved = s.was_resolved THEN i.resolved_at WHEN s.is_resolved THEN p_at END
          FROM shall s
         WHERE i.project_id = p_project AND i.id = s.id
           AND (s.is_resolved, s.is_muted, s.assignee_id) IS DISTINCT FROM (s.was_resolved, s.was_muted, s.was_assigned)
        RETURNING i.id),
    noted AS (
        INSERT INTO issue_transitions (project_id, issue_id, kind, assignee_id, user_id, at)
        SELECT p_project, s.id, p_action || 'd', NULL, p_user, p_at FROM shall s
         WHERE CASE WHEN p_action IN ('resolve', 'unresolve') THEN s.is_resolved <> s.was_resolved ELSE s.is_muted <> s.was_muted END
        UNION ALL
        SELECT p_project, s.id, CASE WHEN s.assignee_id IS NULL THEN 'unassigned' ELSE 'assigned' END, s.assignee_id, p_user, p_at FROM shall s
         WHERE s.assignee_id IS DISTINCT FROM s.was_assigned)
    SELECT s.id, c.id IS NOT NULL FROM shall s LEFT JOIN changed c ON c.id = s.id ORDER BY s.id;
END $$;

-- As they are after a change by the same statement, which does not see that itself.
CREATE FUNCTION issue_item_now(p_project int, p_issue uuid, p_now timestamptz) RETURNS TABLE (
    id uuid, short_id text, title text, value text, first_seen timestamptz, last_seen timestamptz, event_count bigint, level text, platform text,
    is_resolved boolean, is_muted boolean, project_id int, type text, culprit text, users bigint, assignee_id int, assignee text, last_release text,
    stats_24h json, stats_14d json, place bigint) LANGUAGE plpgsql VOLATILE ROWS 1 AS $$
BEGIN
    RETURN QUERY SELECT * FROM issue_items(ARRAY[p_project], ARRAY[p_issue], p_now);
END $$;

-- ---- events

-- Walks of the primary key, a day after the other; an event without a grouping is of a deleted issue.
CREATE FUNCTION events_before(p_project int, p_id uuid, p_limit bigint)
RETURNS TABLE (id uuid, event_id uuid, title text, "timestamp" timestamptz, level text, platform text, release text, environment text, issue_id uuid)
LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT e.id, e.event_id, e.title, e.timestamp, e.level, e.platform, e.release, e.environment, g.issue_id
      FROM events e CROSS JOIN LATERAL (SELECT g.issue_id FROM groupings g WHERE g.project_id = p_project AND g.id = e.grouping_id LIMIT 1) g
     WHERE e.project_id = p_project AND e.id < p_id ORDER BY e.id DESC LIMIT p_limit;
END $$;
CREATE FUNCTION events_after(p_project int, p_id uuid, p_limit bigint)
RETURNS TABLE (id uuid, event_id uuid, title text, "timestamp" timestamptz, level text, platform text, release text, environment text, issue_id uuid)
LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT e.id, e.event_id, e.title, e.timestamp, e.level, e.platform, e.release, e.environment, g.issue_id
      FROM events e CROSS JOIN LATERAL (SELECT g.issue_id FROM groupings g WHERE g.project_id = p_project AND g.id = e.grouping_id LIMIT 1) g
     WHERE e.project_id = p_project AND e.id > p_id ORDER BY e.id LIMIT p_limit;
END $$;

-- Those before and behind an event of an issue, and at its ends: each a look into the index on (project, grouping, id) of each day that the issue was seen in. Why the
-- grouping is compared by order: event_page_asc.sql.
CREATE FUNCTION event_neighbours(p_project int, p_issue uuid, p_event uuid)
RETURNS TABLE (previous_id uuid, next_id uuid, oldest_id uuid, newest_id uuid) LANGUAGE plpgsql STABLE ROWS 1
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_low  uuid; -- of all its events
    v_high uuid;
BEGIN
    SELECT uuid7_floor(i.first_seen - interval '1 hour'), uuid7_floor(i.last_seen + interval '1 hour') INTO v_low, v_high
      FROM issues i WHERE i.project_id = p_project AND i.id = p_issue;
    v_low := least(v_low, p_event);
    v_high := greatest(v_high, p_event);
    RETURN QUERY SELECT
        (SELECT e.id FROM groupings g CROSS JOIN LATERAL (
            SELECT e.id FROM events e WHERE e.project_id = p_project AND (e.grouping_id, e.id) < (g.id, p_event) AND e.grouping_id >= g.id
                AND e.id >= v_low AND e.id < p_event ORDER BY e.grouping_id DESC, e.id DESC LIMIT 1) e
          WHERE g.project_id = p_project AND g.issue_id = p_issue ORDER BY e.id DESC LIMIT 1),
        (SELECT e.id FROM groupings g CROSS JOIN LATERAL (
            SELECT e.id FROM events e WHERE e.project_id = p_project AND (e.grouping_id, e.id) > (g.id, p_event) AND e.grouping_id <= g.id
                AND e.id > p_event AND e.id <= v_high ORDER BY e.grouping_id, e.id LIMIT 1) e
          WHERE g.project_id = p_project AND g.issue_id = p_issue ORDER BY e.id LIMIT 1),
        (SELECT e.id FROM groupings g CROSS JOIN LATERAL (
            SELECT e.id FROM events e WHERE e.project_id = p_project AND (e.grouping_id, e.id) >= (g.id, v_low) AND e.grouping_id <= g.id
                AND e.id >= v_low AND e.id <= p_event ORDER BY e.grouping_id, e.id LIMIT 1) e
          WHERE g.project_id = p_project AND g.issue_id = p_issue ORDER BY e.id LIMIT 1),
        (SELECT e.id FROM groupings g CROSS JOIN LATERAL (
            SELECT e.id FROM events e WHERE e.project_id = p_project AND (e.grouping_id, e.id) <= (g.id, v_high) AND e.grouping_id >= g.id
                AND e.id >= p_event AND e.id <= v_high ORDER BY e.grouping_id DESC, e.id DESC LIMIT 1) e
          WHERE g.project_id = p_project AND g.issue_id = p_issue ORDER BY e.id DESC LIMIT 1);
END $$;
