DO $$ BEGIN
    CREATE TABLE projects (obstacle int);
    PERFORM pg_sleep(1.5);
    RAISE EXCEPTION 'and it was never there';
END $$
