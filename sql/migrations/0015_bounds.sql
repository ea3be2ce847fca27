-- Three things that grew with what is stored, or with what a machine knows.

-- A zone that was known when its monitor was configured may be gone: another machine, another release of its zones. One such monitor must not keep
-- those of others from being looked at, so it goes by UTC until it is configured anew.
ALTER FUNCTION monitor_next(jsonb, timestamptz) RENAME TO monitor_next_in_zone;
CREATE FUNCTION monitor_next(p_config jsonb, p_after timestamptz) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT monitor_next_in_zone(CASE WHEN monitor_zone_known(p_config->>'timezone') THEN p_config ELSE p_config || '{"timezone": "UTC"}' END, p_after)
$$;

-- A start without an id asks for an end that came before it (check_in_find).
CREATE INDEX check_ins_early_ends ON check_ins (project_id, environment_id, ended_at) WHERE check_in_id IS NULL AND NOT opened AND verdict <> 0;

-- What people wrote goes with the events of its day, by the days of its own project.
CREATE FUNCTION retention_tidy_feedback(p_now timestamptz, p_days int, p_limit int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_gone bigint;
BEGIN
    DELETE FROM feedback WHERE ctid IN (
        SELECT o.ctid FROM retention_rules(p_now, p_days, NULL) r
         CROSS JOIN LATERAL (SELECT f.ctid FROM feedback f WHERE f.project_id = r.project_id
                                AND f.id < uuid7_floor(r.first_day::timestamp AT TIME ZONE 'UTC') LIMIT p_limit) o LIMIT p_limit);
    GET DIAGNOSTICS v_gone = ROW_COUNT;
    RETURN v_gone;
END $$;
