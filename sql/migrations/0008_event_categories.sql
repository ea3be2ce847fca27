-- Events that count as something else than errors: the reports of browsers are of category security (3). As digest_events of 0005, with the category
-- of each record. The function of 0005 stays for releases that know one category, by way of this one.

CREATE FUNCTION digest_events(
    p_node uuid, p_segment bigint, p_from bigint, p_to bigint, p_version smallint,
    g_project int[], g_hash bytea[], g_type text[], g_value text[], g_title text[], g_transaction text[],
    g_filename text[], g_module text[], g_function text[], g_level text[], g_platform text[],
    r_group int[], r_id uuid[], r_event_id uuid[], r_received timestamptz[], r_timestamp timestamptz[], r_title text[],
    r_level text[], r_platform text[], r_release text[], r_environment text[], r_server text[], r_sdk_name text[], r_sdk_version text[],
    r_addr inet[], r_payload bytea[], r_key bigint[], r_category smallint[]
) RETURNS smallint[] LANGUAGE plpgsql SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_outcome smallint[] := digest_batch(
        p_node, p_segment, p_from, p_to, p_version, g_project, g_hash, g_type, g_value, g_title, g_transaction, g_filename, g_module,
        g_function, g_level, g_platform, r_group, r_id, r_event_id, r_received, r_timestamp, r_title, r_level, r_platform, r_release,
        r_environment, r_server, r_sdk_name, r_sdk_version, r_addr, r_payload);
    v_counts boolean := p_to > p_from AND (SELECT count(*) FROM digest_batches b
                                            WHERE b.node = p_node AND b.segment = p_segment AND b.from_offset = p_from AND b.to_offset > p_from) = 1;
BEGIN
    IF 0 = ANY (v_outcome) THEN
        SELECT array_agg(CASE WHEN r.outcome = 0 AND e.found THEN 3 ELSE r.outcome END::smallint ORDER BY r.n)
          INTO v_outcome
          FROM unnest(r_group, r_id, v_outcome) WITH ORDINALITY r(grp, id, outcome, n)
          LEFT JOIN LATERAL (SELECT true AS found FROM events e
                              WHERE r.outcome = 0 AND e.project_id = g_project[r.grp] AND e.id BETWEEN r.id AND r.id ORDER BY e.id LIMIT 1) e ON true;
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

CREATE OR REPLACE FUNCTION digest_events(
    p_node uuid, p_segment bigint, p_from bigint, p_to bigint, p_version smallint,
    g_project int[], g_hash bytea[], g_type text[], g_value text[], g_title text[], g_transaction text[],
    g_filename text[], g_module text[], g_function text[], g_level text[], g_platform text[],
    r_group int[], r_id uuid[], r_event_id uuid[], r_received timestamptz[], r_timestamp timestamptz[], r_title text[],
    r_level text[], r_platform text[], r_release text[], r_environment text[], r_server text[], r_sdk_name text[], r_sdk_version text[],
    r_addr inet[], r_payload bytea[], r_key bigint[]
) RETURNS smallint[] LANGUAGE sql VOLATILE AS $$
    SELECT digest_events(p_node, p_segment, p_from, p_to, p_version, g_project, g_hash, g_type, g_value, g_title, g_transaction, g_filename, g_module,
                         g_function, g_level, g_platform, r_group, r_id, r_event_id, r_received, r_timestamp, r_title, r_level, r_platform, r_release,
                         r_environment, r_server, r_sdk_name, r_sdk_version, r_addr, r_payload, r_key,
                         array_fill(1::smallint, ARRAY[cardinality(r_id)]))
$$;
