-- Projects that are deleted (R11). At once: its keys are gone, so that no door lets anything in, its name and slug are free, and nothing finds it: whoever asks
-- for `projects` sees those that are there. Retention then takes away what it had, some rows at a time, and at last its row: a project may have millions of
-- hours of issues, and one statement that deletes them all would be in everybody's way. Its events go with their days, as rows of no project do (0003).
--
-- From here on a column of projects is added to all_projects, and to the view.
ALTER TABLE projects RENAME TO all_projects;
ALTER TABLE all_projects ADD deleted_at timestamptz;
CREATE INDEX all_projects_deleted ON all_projects (id) WHERE deleted_at IS NOT NULL;
CREATE VIEW projects AS SELECT * FROM all_projects WHERE deleted_at IS NULL;

-- No row: there is no such project.
CREATE FUNCTION project_delete(p_project int) RETURNS SETOF int LANGUAGE plpgsql AS $$
BEGIN
    -- what lies in spools is no new issue any more; first, as a batch that makes issues has it first
    DELETE FROM project_numbering n USING all_projects p WHERE n.project_id = p_project AND p.id = p_project AND p.deleted_at IS NULL;
    UPDATE all_projects p
       SET deleted_at = now(), name = format('deleted %s %s', p.id, gen_random_uuid()), slug = format('deleted-%s-%s', p.id, gen_random_uuid())
     WHERE p.id = p_project AND p.deleted_at IS NULL;
    IF FOUND THEN
        DELETE FROM project_keys k WHERE k.project_id = p_project;
        RETURN NEXT p_project;
    END IF;
END $$;

-- At most p_limit rows of one table of the first of them: how many went; 0: there is nothing left of any. What belongs to issues goes before them, so that no
-- deletion brings many others along.
CREATE FUNCTION projects_tidy(p_limit int) RETURNS bigint LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $$
DECLARE
    v_project int := (SELECT min(p.id) FROM all_projects p WHERE p.deleted_at IS NOT NULL);
    v_table   regclass;
    v_gone    bigint;
BEGIN
    IF v_project IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM FROM project_turns t WHERE t.project_id = v_project FOR UPDATE; -- batches with events of its issues take it first, too
    FOR v_table IN
        SELECT c.conrelid::regclass FROM pg_constraint c WHERE c.contype = 'f' AND c.confrelid IN ('issues'::regclass, 'all_projects'::regclass)
         GROUP BY c.conrelid ORDER BY bool_or(c.confrelid = 'issues'::regclass) DESC, c.conrelid
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
