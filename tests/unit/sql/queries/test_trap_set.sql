-- Two tables as issues and what points at them; the texts are as long as the planner believes texts to be.
DO $do$ BEGIN
    CREATE TABLE trap_issues (project_id int, id uuid, number int, a text DEFAULT repeat('x', 30), b text DEFAULT repeat('x', 30), c text DEFAULT repeat('x', 30), d text DEFAULT repeat('x', 30), e text DEFAULT repeat('x', 30), f text DEFAULT repeat('x', 30), g text DEFAULT repeat('x', 30), h text DEFAULT repeat('x', 30),
                              PRIMARY KEY (project_id, id)) WITH (autovacuum_enabled = off);
    CREATE UNIQUE INDEX trap_number ON trap_issues (project_id, number);
    CREATE TABLE trap_hours (project_id int, issue_id uuid, FOREIGN KEY (project_id, issue_id) REFERENCES trap_issues) WITH (autovacuum_enabled = off);
    CREATE FUNCTION trap_fill(p_rows int) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        WITH made AS (INSERT INTO trap_issues SELECT 1, gen_random_uuid(), (SELECT count(*) FROM trap_issues) + n FROM generate_series(1, p_rows) n
                      RETURNING id)
        INSERT INTO trap_hours SELECT 1, id FROM made;
        PERFORM pg_stat_force_next_flush();
    END $$;
END $do$
