-- Each feedback takes a while, and poison is none: as a database that is too slow for many at once.
DO $$ BEGIN
    CREATE OR REPLACE FUNCTION test_digest_slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN
        PERFORM pg_sleep(0.1);
        IF NEW.message = ''Poison'' THEN
            RAISE check_violation;
        END IF;
        RETURN NEW;
    END';
    CREATE OR REPLACE TRIGGER test_digest_slow BEFORE INSERT ON feedback FOR EACH ROW EXECUTE FUNCTION test_digest_slow();
END $$
