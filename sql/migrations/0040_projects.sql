-- Several keys of a project, told apart by their labels.
ALTER TABLE project_keys ADD COLUMN label text NOT NULL DEFAULT '' CONSTRAINT project_keys_label_length CHECK (length(label) <= 255);

-- A key that is given another public key takes the one that it had with it: both are told.
CREATE OR REPLACE FUNCTION project_keys_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('picket_keys', replace(k.public_key::text, '-', ''))
       FROM (SELECT OLD.public_key UNION SELECT NEW.public_key) k WHERE k.public_key IS NOT NULL;
    RETURN NULL;
END $$;

-- Quotas may come with a key; a change of them is told since 0011.
CREATE TRIGGER quotas_notify_new AFTER INSERT ON project_keys FOR EACH ROW WHEN (NEW.quotas <> '{}') EXECUTE FUNCTION quotas_notify();

-- What a project is told beside its name (0035 says how): which pages of browsers may send, as patterns of protocol/origin.h, none: all; and what it is made with.
ALTER TABLE all_projects
    ADD COLUMN allowed_origins jsonb NOT NULL DEFAULT '[]' CONSTRAINT projects_allowed_origins CHECK (jsonb_typeof(allowed_origins) = 'array'),
    ADD COLUMN platform text CONSTRAINT projects_platform_length CHECK (length(platform) BETWEEN 1 AND 64);
CREATE OR REPLACE VIEW projects AS SELECT * FROM all_projects WHERE deleted_at IS NULL;
CREATE TRIGGER origins_notify AFTER UPDATE OF allowed_origins ON all_projects FOR EACH STATEMENT EXECUTE FUNCTION quotas_notify();

-- Releases that sessions named, so that a list of releases need not look through their hours: the triggers keep it beside release_hours. At most SESSION_RELEASES of a
-- project, or a few more when several batches bring new ones at once: further ones are not listed.
CREATE TABLE session_releases (
    project_id int NOT NULL REFERENCES all_projects ON DELETE CASCADE,
    release    text NOT NULL,
    first_seen timestamptz NOT NULL,           -- hours
    last_seen  timestamptz NOT NULL,
    PRIMARY KEY (project_id, release)
) WITH (fillfactor = 80);
INSERT INTO session_releases SELECT h.project_id, h.release, min(h.hour), max(h.hour) FROM release_hours h GROUP BY 1, 2;

-- Of an insert with ON CONFLICT only rows that are new come here: one for each release, environment and hour.
CREATE FUNCTION release_hours_made() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    SESSION_RELEASES CONSTANT int := 10000;
BEGIN
    INSERT INTO session_releases AS s (project_id, release, first_seen, last_seen)
    SELECT m.project_id, m.release, m.first_hour, m.last_hour
      FROM (SELECT n.project_id, n.release, min(n.hour) AS first_hour, max(n.hour) AS last_hour FROM made n GROUP BY 1, 2) m
     WHERE EXISTS (SELECT FROM session_releases k WHERE k.project_id = m.project_id AND k.release = m.release)
        OR (SELECT count(*) FROM session_releases k WHERE k.project_id = m.project_id) < SESSION_RELEASES
     ORDER BY 1, 2
        ON CONFLICT (project_id, release) DO UPDATE
       SET first_seen = least(s.first_seen, excluded.first_seen), last_seen = greatest(s.last_seen, excluded.last_seen);
    RETURN NULL;
END $$;
CREATE TRIGGER release_hours_made AFTER INSERT ON release_hours REFERENCING NEW TABLE AS made FOR EACH STATEMENT EXECUTE FUNCTION release_hours_made();

-- One of which an hour goes that was its last.
CREATE FUNCTION release_hours_gone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM session_releases s
     USING (SELECT o.project_id, o.release, max(o.hour) AS last_hour FROM gone o GROUP BY 1, 2) g
     WHERE s.project_id = g.project_id AND s.release = g.release AND s.last_seen <= g.last_hour;
    RETURN NULL;
END $$;
CREATE TRIGGER release_hours_gone AFTER DELETE ON release_hours REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION release_hours_gone();
