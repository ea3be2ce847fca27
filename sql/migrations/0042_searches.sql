-- Searches cost less when a project has tens of thousands of issues, or there are hundreds of projects.
--
-- What was slow, of 10 million events: conditions were met twice for each page, once to count and once to list; tags that nearly all issues have were joined from their
-- side, because nobody can tell the planner how many have one; and each project was asked for a whole page of the list of all.

-- Issues that meet one condition, if they are at most p_few; else the first p_few + 1. No row's arrays: none does. Text: by its index, and those whose text is not there yet
-- one by one. Planned with its values each time: how many have a text decides which way is good.
CREATE FUNCTION issues_of_few(p_projects int[], p_field text, p_key text, p_text text, p_number bigint, p_few int, OUT projects int[], OUT issues uuid[]) LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    CASE p_field
        WHEN 'user' THEN
            SELECT array_agg(u.project_id), array_agg(u.issue_id) INTO projects, issues
              FROM (SELECT u.project_id, u.issue_id
                      FROM unnest(p_projects) p(id)
                     CROSS JOIN LATERAL (SELECT u.project_id, u.issue_id FROM issue_users u WHERE u.project_id = p.id AND u.user_hash = p_number LIMIT p_few + 1) u
                     LIMIT p_few + 1) u;
        WHEN 'tag_is' THEN
            SELECT array_agg(t.project_id), array_agg(t.issue_id) INTO projects, issues
              FROM (SELECT t.project_id, t.issue_id
                      FROM unnest(p_projects) p(id)
                     CROSS JOIN LATERAL (SELECT k.id FROM tags k WHERE k.project_id = p.id AND k.key = p_key AND k.value = p_text AND k.value <> '' LIMIT 1) k
                     CROSS JOIN LATERAL (SELECT t.project_id, t.issue_id FROM issue_tags t WHERE t.project_id = p.id AND t.tag_id = k.id LIMIT p_few + 1) t
                     LIMIT p_few + 1) t;
        ELSE
            SELECT array_agg(x.project_id), array_agg(x.id) INTO projects, issues
              FROM ((SELECT x.project_id, x.issue_id AS id FROM issue_texts x WHERE x.project_id = ANY (p_projects) AND x.body ILIKE p_text LIMIT p_few + 1)
                    UNION ALL
                    (SELECT x.project_id, x.id
                       FROM unnest(p_projects) p(id) LEFT JOIN issue_texts_upto u ON u.project_id = p.id
                      CROSS JOIN LATERAL (
                        SELECT i.project_id, i.id, issue_text(i.title, i.value, issue_culprit(i.transaction, i.frame_module, i.frame_filename, i.frame_function)) AS body
                          FROM issues i WHERE i.project_id = p.id AND i.number > coalesce(u.number, 0)) x
                      WHERE x.body ILIKE p_text LIMIT p_few + 1)) x;
    END CASE;
END $$;

-- As in 0038, but that a tag is asked for issue by issue, by the number it has in the only project ($15), or by its name.
CREATE FUNCTION issues_conditions(p_groups int[], p_negated boolean[], p_fields text[], p_keys text[], p_ops text[], p_project int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
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
            WHEN 'tag_is' THEN CASE WHEN p_project IS NULL THEN
                '(SELECT true FROM tags k JOIN issue_tags t ON t.project_id = k.project_id AND t.tag_id = k.id
                  WHERE k.project_id = i.project_id AND k.key = $5[%1$s] AND k.value = $3[%1$s] AND k.value <> '''' AND t.issue_id = i.id LIMIT 1)'
                ELSE '(SELECT true FROM issue_tags t WHERE t.project_id = i.project_id AND t.issue_id = i.id AND t.tag_id = $15[%1$s] LIMIT 1)' END
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

-- As in 0038, but: what can only be one of few issues is looked for among these, be they few by user, by tag or by text; what is counted to the end is not looked for
-- again; and of many projects only those are asked for a page whose first issue is on it.
CREATE OR REPLACE FUNCTION issues_search(
    p_projects int[], p_user int, p_state text, p_groups int[], p_negated boolean[], p_fields text[], p_keys text[], p_ops text[], p_texts text[], p_numbers bigint[],
    p_times timestamptz[], p_sort text, p_order text, p_limit bigint, p_offset bigint, p_count bigint, p_after_at timestamptz, p_after_n bigint, p_after_id uuid)
RETURNS TABLE (total bigint, project_id int, issue_id uuid, at timestamptz, n bigint) LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_sort = on SET max_parallel_workers_per_gather = 0 SET jit = off AS $$
#variable_conflict use_column
DECLARE
    v_project  int := CASE cardinality(p_projects) WHEN 1 THEN p_projects[1] END; -- the only one
    v_few      int := CASE cardinality(p_projects) WHEN 1 THEN 5000 ELSE 20000 END; -- the more projects, the more it costs to walk through all of them
    v_tags     int[];  -- its tags that conditions name, by position
    v_where    text := ' AND i.number > 0' || -- as indexes have it
                       CASE p_state WHEN 'open' THEN ' AND NOT i.is_resolved AND NOT i.is_muted' WHEN 'resolved' THEN ' AND i.is_resolved'
                                    WHEN 'muted' THEN ' AND i.is_muted AND NOT i.is_resolved' ELSE '' END
                       || issues_conditions(p_groups, p_negated, p_fields, p_keys, p_ops, v_project);
    v_d        text := CASE p_order WHEN 'asc' THEN ' ASC' ELSE ' DESC' END;
    v_beyond   text := CASE p_order WHEN 'asc' THEN ' > ' ELSE ' < ' END;
    v_key      text;   -- of the sort: its columns at and n
    v_sort     text;   -- of columns
    v_after    text := '';
    v_from     text := ' FROM issues i';
    -- One by one: joined, all issues might be looked at for these few, or these few for each issue.
    v_listed   text := ' FROM unnest($12, $13) h(project_id, id) CROSS JOIN LATERAL (SELECT * FROM issues s WHERE s.project_id = h.project_id AND s.id = h.id OFFSET 0) i';
    v_own      text := ' i.project_id = p.id';
    v_of       text := ' FROM unnest($1) p(id)';
    v_projects int[];  -- of the few that can meet all conditions, as the next
    v_ids      uuid[];
    v_many     boolean := false; -- at least one condition, or all together, have many issues
    v_met_projects int[]; -- of those that met them, as the next
    v_met      uuid[];
    v_span     interval;
    v_total    bigint;
    c          record;
BEGIN
    IF v_project IS NOT NULL THEN
        SELECT array_agg(k.id ORDER BY c.n) INTO v_tags
          FROM unnest(p_fields, p_keys, p_texts) WITH ORDINALITY c(field, key, value, n)
          LEFT JOIN tags k ON c.field = 'tag_is' AND k.project_id = v_project AND k.key = c.key AND k.value = c.value AND k.value <> '';
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

    -- Of many projects' newest issues some meet the conditions, as a rule: those of the last hour, day or week are looked at first.
    IF p_count IS NULL AND v_project IS NULL AND cardinality(p_fields) > 0 AND p_sort = 'last_seen' AND p_order <> 'asc' THEN
        PERFORM set_config('enable_sort', 'off', true); -- the sort's index
        FOREACH v_span IN ARRAY ARRAY['1 hour', '1 day', '1 week']::interval[] LOOP
            EXECUTE format('SELECT array_agg(r.project_id), array_agg(r.id) FROM (
                                SELECT r.* FROM unnest($1) p(id) CROSS JOIN LATERAL (SELECT i.project_id, i.id, %1$s%2$s WHERE%3$s%4$s AND i.seen_second >= $8
                                                                                               ORDER BY %5$s LIMIT $7) r
                                 ORDER BY r.at DESC, r.id DESC LIMIT $7) r', v_key, v_from, v_own, v_where || CASE WHEN p_after_id IS NULL THEN '' ELSE ' AND ' || v_after END, v_sort)
               INTO v_projects, v_ids
              USING p_projects, p_user, p_texts, p_numbers, p_keys, p_times, p_limit, date_trunc('second', coalesce(p_after_at, now()) - v_span), p_after_at, p_after_n, p_after_id;
            IF cardinality(v_ids) >= p_limit THEN
                v_from := replace(v_from, ' FROM issues i', v_listed);
                v_own := ' true';
                v_where := '';
                EXIT;
            END IF;
        END LOOP;
        PERFORM set_config('enable_sort', 'on', true);
    END IF;

    FOR c IN
        SELECT c.field, c.key, c.body, c.number
          FROM unnest(p_groups, p_negated, p_fields, p_keys, p_texts, p_numbers) WITH ORDINALITY c(grp, negated, field, key, body, number, n)
         WHERE NOT c.negated AND c.field IN ('user', 'tag_is', 'text') AND p_groups[c.n - 1] IS DISTINCT FROM c.grp AND p_groups[c.n + 1] IS DISTINCT FROM c.grp
         ORDER BY CASE c.field WHEN 'user' THEN 1 WHEN 'tag_is' THEN 2 ELSE 3 END, c.n
    LOOP
        EXIT WHEN v_own = ' true';
        SELECT f.projects, f.issues INTO v_projects, v_ids FROM issues_of_few(p_projects, c.field, c.key, c.body, c.number, v_few) f;
        IF v_ids IS NULL OR cardinality(v_ids) <= v_few THEN
            v_from := replace(v_from, ' FROM issues i', v_listed);
            v_own := ' true';
            EXIT;
        END IF;
        v_many := true;
    END LOOP;

    IF p_count IS NOT NULL AND cardinality(p_fields) = 0 AND cardinality(p_projects) = 1 THEN
        v_total := issue_count(p_projects[1], p_state);
    ELSIF p_count IS NOT NULL THEN
        EXECUTE format('SELECT count(*), array_agg(c.project_id), array_agg(c.id) FROM (
                            SELECT r.* FROM unnest($1) p(id) CROSS JOIN LATERAL (SELECT i.project_id, i.id%1$s WHERE%2$s%3$s LIMIT $7) r LIMIT $7) c',
                       v_from, v_own, v_where || CASE v_own WHEN ' true' THEN ' AND i.project_id = p.id' ELSE '' END)
           INTO v_total, v_met_projects, v_met
          USING p_projects, p_user, p_texts, p_numbers, p_keys, p_times, p_count, 0, p_after_at, p_after_n, p_after_id, v_projects, v_ids, 0, v_tags;
        IF v_total < p_count AND p_after_id IS NULL THEN -- these are all: they need only be sorted
            v_projects := v_met_projects;
            v_ids := v_met;
            v_from := replace(v_from, ' FROM issues i', v_listed);
            v_own := ' true';
            v_where := '';
        ELSE
            v_many := true;
        END IF;
    END IF;
    IF v_many AND v_own <> ' true' AND p_sort <> 'users' THEN -- they are met on the way through the sort's index, whatever the planner takes the conditions for
        PERFORM set_config('enable_sort', 'off', true);
    END IF;

    v_where := v_where || CASE WHEN p_after_id IS NULL THEN '' ELSE ' AND ' || v_after END;
    IF cardinality(p_fields) = 0 AND p_sort <> 'users' AND cardinality(p_projects) > p_limit + p_offset THEN
        v_of := format(' FROM (SELECT r.project_id AS id FROM unnest($1) p(id) CROSS JOIN LATERAL (
                                SELECT i.project_id, i.id, %1$s%2$s WHERE%3$s%4$s ORDER BY %5$s LIMIT 1) r
                             ORDER BY r.at%6$s, r.n%6$s, r.id%6$s LIMIT $7 + $8) p', v_key, v_from, v_own, v_where, v_sort, v_d);
    END IF;
    RETURN QUERY EXECUTE
        CASE v_own WHEN ' true' THEN
            format('SELECT $14, i.project_id, i.id, %1$s%2$s WHERE true%3$s ORDER BY %4$s LIMIT $7 OFFSET $8', v_key, v_from, v_where, v_sort)
        ELSE
            format('SELECT $14, r.project_id, r.id, r.at, r.n%7$s CROSS JOIN LATERAL (
                        SELECT i.project_id, i.id, %1$s%2$s WHERE%3$s%4$s ORDER BY %5$s LIMIT $7 + $8) r
                     ORDER BY r.at%6$s, r.n%6$s, r.id%6$s LIMIT $7 OFFSET $8', v_key, v_from, v_own, v_where, v_sort, v_d, v_of)
        END USING p_projects, p_user, p_texts, p_numbers, p_keys, p_times, p_limit, p_offset, p_after_at, p_after_n, p_after_id, v_projects, v_ids, v_total, v_tags;
    IF NOT FOUND AND p_count IS NOT NULL THEN
        total := v_total;
        RETURN NEXT;
    END IF;
END $$;

DROP FUNCTION issues_conditions(int[], boolean[], text[], text[], text[]);
