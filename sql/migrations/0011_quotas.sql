-- Quotas (src/ingest/quota.c). {"error": {"minute": 100, "hour": 1000}, "attachment": …} by category; absent: as the environment has it, 0: no limit.
ALTER TABLE projects ADD COLUMN quotas jsonb NOT NULL DEFAULT '{}' CONSTRAINT projects_quotas CHECK (jsonb_typeof(quotas) = 'object');
ALTER TABLE project_keys ADD COLUMN quotas jsonb NOT NULL DEFAULT '{}' CONSTRAINT project_keys_quotas CHECK (jsonb_typeof(quotas) = 'object');
-- What is set for all of it: one row.
CREATE TABLE installation (
    one    boolean PRIMARY KEY DEFAULT true CHECK (one),
    quotas jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(quotas) = 'object')
);
INSERT INTO installation DEFAULT VALUES;

-- On the channel of the keys, because every Picket listens there; one that knows no quotas takes it for no key and does nothing.
CREATE FUNCTION quotas_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NOTIFY picket_keys, 'quotas';
    RETURN NULL;
END $$;
CREATE TRIGGER quotas_notify AFTER UPDATE OF quotas ON projects FOR EACH STATEMENT EXECUTE FUNCTION quotas_notify();
CREATE TRIGGER quotas_notify AFTER UPDATE OF quotas ON project_keys FOR EACH STATEMENT EXECUTE FUNCTION quotas_notify();
CREATE TRIGGER quotas_notify AFTER UPDATE ON installation FOR EACH STATEMENT EXECUTE FUNCTION quotas_notify();

-- What each Picket took, so that all on one database share a limit and a restart forgets nothing (src/ingest/quota_watch.c). Of the last hour.
CREATE TABLE quota_ticks (
    node       uuid NOT NULL,
    tick       bigint NOT NULL,                  -- µs since 1970 by the node's clock; ascending
    names      bigint[] NOT NULL,
    quantities bigint[] NOT NULL,
    PRIMARY KEY (node, tick)
);
CREATE INDEX quota_ticks_age ON quota_ticks (tick);
