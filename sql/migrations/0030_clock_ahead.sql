-- Erasures after a clock was ahead. What was received at a time that is still to come came before the request: nothing else says when (digest/erasure.c has
-- the same rule for events and dead letters). As in 0020 otherwise.
CREATE OR REPLACE FUNCTION erasure_due_feedback(p_project int, p_field text, p_key text, p_before timestamptz, p_limit bigint) RETURNS SETOF tid LANGUAGE plpgsql STABLE
    SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    v_keys text[] := person_keys(p_project, CASE WHEN p_field IN ('any', 'id') THEN p_key END, CASE WHEN p_field IN ('any', 'email') THEN p_key END,
                                 CASE WHEN p_field IN ('any', 'username') THEN p_key END, CASE WHEN p_field IN ('any', 'ip') THEN p_key END);
BEGIN
    RETURN QUERY
    SELECT o.place
      FROM (SELECT f.ctid AS place FROM feedback f
             WHERE p_field IN ('any', 'email') AND f.project_id = p_project AND lower(f.email) = lower(p_key)
               AND (f.received_at < p_before OR f.received_at > now() + interval '1 minute')
             UNION
            SELECT f.ctid FROM feedback f
             WHERE f.data ? 'user' AND f.project_id = p_project AND (f.received_at < p_before OR f.received_at > now() + interval '1 minute')
               AND person_keys(f.project_id, f.data #>> '{user,id}', f.data #>> '{user,email}', f.data #>> '{user,username}', f.data #>> '{user,ip_address}') && v_keys) o
     LIMIT p_limit;
END $$;
