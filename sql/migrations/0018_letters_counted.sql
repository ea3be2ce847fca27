-- Dead letters are items, too, and are accounted for: as invalid, reason dead_letter, from the moment when they are kept, and as accepted instead once a
-- retry has stored them. What is dropped or erased stays invalid. Each counts as one: what a letter of aggregates or of an attachment amounts to is known when it
-- is read. Client reports and the door's own account are no items. And what runs out of time is noticed by turns.

ALTER TABLE dead_letters ADD COLUMN counted_as smallint; -- data category; null: not counted, or kept by the release before
COMMENT ON COLUMN dead_letters.counted_as IS 'data category that it counts in as invalid; null: none';

-- What a letter counts as (protocol §4.5); p_category: of an event, as who read it says.
CREATE FUNCTION dead_letter_category(p_kind smallint, p_category smallint) RETURNS smallint LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN p_kind = 1 THEN p_category WHEN p_kind IN (3, 4) THEN 5 WHEN p_kind IN (5, 6) THEN 14 WHEN p_kind = 7 THEN 22 WHEN p_kind = 8 THEN 10
           END::smallint
$$;

-- Letters that were not there before; those without a category do not count. (A record that was spilled to a file and is delivered again after a crash counts
-- once more.)
CREATE FUNCTION dead_letters_account(
    x_project bigint[], x_event uuid[], x_received timestamptz[], x_key bigint[], x_category smallint[], x_bytes bigint[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_report jsonb;
BEGIN
    SELECT jsonb_build_object(
               'cases', jsonb_agg(jsonb_build_object('p', p.id, 'at', x.received_at, 'c', x.category, 'o', 3, 'r', 'dead_letter', 'k', coalesce(x.key_id, 0),
                                                     'n', 1, 'bytes', x.bytes, 'client', '',
                                                     'event_id', nullif(x.event_id, '00000000-0000-0000-0000-000000000000'))),
               'outcomes', jsonb_agg(jsonb_build_object('p', p.id, 'h', floor(extract(epoch FROM x.received_at))::bigint, 'c', x.category, 'o', 3,
                                                        'r', 'dead_letter', 'k', coalesce(x.key_id, 0), 'n', 1)))
      INTO v_report
      FROM unnest(x_project, x_event, x_received, x_key, x_category, x_bytes) x(project_id, event_id, received_at, key_id, category, bytes)
      JOIN projects p ON p.id = x.project_id
     WHERE x.category IS NOT NULL
    HAVING count(*) > 0;
    IF v_report IS NULL THEN
        RETURN;
    END IF;
    PERFORM digest_store_cases(ARRAY[v_report]);
    PERFORM digest_store_outcomes(ARRAY[NULL]::int[], ARRAY[0]::bigint[], ARRAY[v_report]); -- last: its rows are everybody's
EXCEPTION WHEN OTHERS THEN
    IF monitor_fault_is_common(SQLSTATE) THEN
        RAISE;
    END IF;
    RAISE WARNING 'dead letters are kept and could not be accounted for: %', SQLERRM; -- perhaps it is accounts that are refused
END $$;

-- A retry has stored the letter, so it is accepted, which whoever stored it has counted. When it was stored.
CREATE FUNCTION dead_letter_accepted(d dead_letters) RETURNS timestamptz LANGUAGE plpgsql AS $$
BEGIN
    UPDATE outcomes SET quantity = quantity - 1
     WHERE project_id = d.project_id AND hour = date_trunc('hour', d.received_at, 'UTC') AND category = d.counted_as AND outcome = 3
       AND reason = 'dead_letter' AND key_id = coalesce(d.key_id, 0);
    DELETE FROM outcomes
     WHERE project_id = d.project_id AND hour = date_trunc('hour', d.received_at, 'UTC') AND category = d.counted_as AND outcome = 3
       AND reason = 'dead_letter' AND key_id = coalesce(d.key_id, 0) AND quantity <= 0;
    RETURN now();
END $$;

-- As in 0016, but that projects have turns, as those that miss runs have.
CREATE INDEX check_ins_running ON check_ins (project_id, timeout_at) WHERE status = 'in_progress';
CREATE OR REPLACE FUNCTION monitor_notice_timeouts(p_until timestamptz, p_limit int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    k check_ins;
    m monitors;
BEGIN
    IF NOT EXISTS (SELECT FROM check_ins WHERE status = 'in_progress' AND timeout_at <= p_until) THEN
        RETURN;
    END IF;
    FOR k IN WITH RECURSIVE having_some AS (
                 (SELECT v.project_id FROM check_ins v WHERE v.status = 'in_progress' ORDER BY v.project_id LIMIT 1)
                  UNION ALL
                 SELECT (SELECT v.project_id FROM check_ins v WHERE v.status = 'in_progress' AND v.project_id > h.project_id ORDER BY v.project_id LIMIT 1)
                   FROM having_some h WHERE h.project_id IS NOT NULL),
             due AS (
                 SELECT d.*
                   FROM having_some h
                  CROSS JOIN LATERAL (SELECT o.project_id, o.id, o.timeout_at, row_number() OVER (ORDER BY o.timeout_at) AS turn
                                        FROM (SELECT v.project_id, v.id, v.timeout_at FROM check_ins v
                                               WHERE v.project_id = h.project_id AND v.status = 'in_progress' AND v.timeout_at <= p_until
                                                 AND EXISTS (SELECT FROM monitor_environments e WHERE e.project_id = v.project_id AND e.id = v.environment_id)
                                               ORDER BY v.timeout_at LIMIT p_limit) o) d
                  ORDER BY turn, timeout_at LIMIT p_limit)
             SELECT c.* FROM due d JOIN check_ins c ON c.project_id = d.project_id AND c.id = d.id
               JOIN monitor_environments e ON e.project_id = c.project_id AND e.id = c.environment_id
              WHERE c.status = 'in_progress' AND c.timeout_at <= p_until ORDER BY c.timeout_at FOR UPDATE OF e SKIP LOCKED LOOP
        BEGIN
            UPDATE check_ins SET status = CASE WHEN heard THEN 'timeout' ELSE 'unknown' END
             WHERE project_id = k.project_id AND id = k.id AND status = 'in_progress' AND timeout_at <= p_until;
            CONTINUE WHEN NOT FOUND;
            SELECT * INTO m FROM monitors WHERE project_id = k.project_id AND id = k.monitor_id;
            PERFORM monitor_judge(m, k.environment_id, k.id, k.timeout_at);
        EXCEPTION WHEN OTHERS THEN
            IF monitor_fault_is_common(SQLSTATE) THEN
                RAISE;
            END IF;
            RAISE WARNING 'check-in % of project % is looked at again in an hour: %', k.id, k.project_id, SQLERRM;
            UPDATE check_ins SET timeout_at = p_until + interval '1 hour' WHERE project_id = k.project_id AND id = k.id;
        END;
    END LOOP;
END $$;
