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
