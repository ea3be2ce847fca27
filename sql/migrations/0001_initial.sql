-- The first schema. Rules (every table obeys them):
--   * project_id stands first in the keys of all that belongs to a project, and joins go over it.
--   * events are partitioned by range of id; the bounds are the UUIDv7s of UTC midnights, so the id alone names the day.
--   * an event bears its grouping, a grouping points at its issue: merging moves pointers, never events.
--   * counters change only by rows really inserted (digest_batch, next migration).

CREATE TABLE schema_info (
    key   text PRIMARY KEY,
    value text NOT NULL
);
-- The lowest migration that a binary must know to use this schema (decisions: a newer schema than the binary knows).
INSERT INTO schema_info VALUES ('min_release', '1');

CREATE TABLE users (
    id            int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email         text NOT NULL CONSTRAINT users_email_key UNIQUE,
    password_hash text NOT NULL,
    is_active     boolean NOT NULL DEFAULT true,
    is_admin      boolean NOT NULL DEFAULT false,
    created_at    timestamptz NOT NULL DEFAULT now(),
    last_login_at timestamptz,
    CONSTRAINT users_email_length CHECK (length(email) <= 255)
);

-- Sessions and tokens are stored as SHA-256 of what the client carries.
CREATE TABLE sessions (
    hash        bytea PRIMARY KEY,
    user_id     int NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at  timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL             -- absolute end; the idle end is last_seen_at plus the configured time
);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_expiry ON sessions (expires_at);

CREATE TABLE api_tokens (
    id           int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hash         bytea NOT NULL CONSTRAINT api_tokens_hash_key UNIQUE,
    prefix       text NOT NULL,                  -- first eight characters, to tell tokens apart
    user_id      int NOT NULL REFERENCES users ON DELETE CASCADE,
    description  text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    expires_at   timestamptz,
    CONSTRAINT api_tokens_description_length CHECK (length(description) <= 255)
);
CREATE INDEX api_tokens_user ON api_tokens (user_id);

CREATE TABLE projects (
    id         int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL CONSTRAINT projects_name_key UNIQUE,
    slug       text NOT NULL CONSTRAINT projects_slug_key UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- A project's keys. The newest active one is in its DSN; rotated ones are inactive and refused.
CREATE TABLE project_keys (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id int NOT NULL REFERENCES projects ON DELETE CASCADE,
    public_key uuid NOT NULL CONSTRAINT project_keys_public_key_key UNIQUE,
    is_active  boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX project_keys_project ON project_keys (project_id, id);

CREATE FUNCTION project_keys_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('picket_keys', replace(coalesce(NEW.public_key, OLD.public_key)::text, '-', ''));
    RETURN NULL;
END $$;
CREATE TRIGGER project_keys_notify AFTER INSERT OR UPDATE OR DELETE ON project_keys
    FOR EACH ROW EXECUTE FUNCTION project_keys_notify();

-- Counters and the numbering of issues live beside the project, because every batch touches them and nobody edits them.
CREATE TABLE project_counters (
    project_id int PRIMARY KEY REFERENCES projects ON DELETE CASCADE,
    stored     bigint NOT NULL DEFAULT 0,        -- events that are there
    digested   bigint NOT NULL DEFAULT 0         -- events that ever arrived
) WITH (fillfactor = 50);
CREATE TABLE project_numbering (
    project_id int PRIMARY KEY REFERENCES projects ON DELETE CASCADE,
    last_issue int NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CREATE FUNCTION projects_attach() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO project_counters (project_id) VALUES (NEW.id);
    INSERT INTO project_numbering (project_id) VALUES (NEW.id);
    RETURN NULL;
END $$;
CREATE TRIGGER projects_attach AFTER INSERT ON projects FOR EACH ROW EXECUTE FUNCTION projects_attach();

CREATE TABLE issues (
    project_id   int NOT NULL REFERENCES projects ON DELETE CASCADE,
    id           uuid NOT NULL,
    number       int NOT NULL,                   -- the N of short id SLUG-N
    title        text NOT NULL,
    type         text NOT NULL,
    value        text NOT NULL,
    transaction  text NOT NULL,
    frame_filename text NOT NULL,
    frame_module   text NOT NULL,
    frame_function text NOT NULL,
    level        text,                           -- of the first event; null when it had none
    platform     text,
    first_seen   timestamptz NOT NULL,           -- receipt times
    last_seen    timestamptz NOT NULL,
    event_count  bigint NOT NULL DEFAULT 0,
    is_resolved  boolean NOT NULL DEFAULT false,
    is_muted     boolean NOT NULL DEFAULT false,
    resolved_at  timestamptz,
    CONSTRAINT issues_number_key UNIQUE (project_id, number)
) WITH (fillfactor = 70);
CREATE INDEX issues_open_last_seen ON issues (project_id, last_seen DESC, id DESC) WHERE NOT is_resolved AND NOT is_muted;
CREATE INDEX issues_last_seen ON issues (project_id, last_seen DESC, id DESC);
-- Last on purpose: while a table is empty all its indexes look equally good to the planner, and it takes the newest. A plan made then is kept.
ALTER TABLE issues ADD PRIMARY KEY (project_id, id);

CREATE TABLE groupings (
    project_id int NOT NULL,
    id         bigint NOT NULL,
    issue_id   uuid NOT NULL,
    version    smallint NOT NULL,                -- of the grouping algorithm
    hash       bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (project_id, id),
    FOREIGN KEY (project_id, issue_id) REFERENCES issues ON DELETE CASCADE
);
CREATE INDEX groupings_issue ON groupings (project_id, issue_id);
ALTER TABLE groupings ADD CONSTRAINT groupings_hash_key UNIQUE (project_id, hash, version); -- last: see issues
CREATE SEQUENCE groupings_id AS bigint CACHE 100;

CREATE TABLE events (
    project_id   int NOT NULL,
    id           uuid NOT NULL,                  -- UUIDv7 of the receipt
    event_id     uuid NOT NULL,                  -- the SDK's
    grouping_id  bigint NOT NULL,
    batch_id     bigint NOT NULL,
    received_at  timestamptz NOT NULL,
    timestamp    timestamptz NOT NULL,
    title        text NOT NULL,
    level        text NOT NULL,
    platform     text NOT NULL,
    release      text NOT NULL,
    environment  text NOT NULL,
    server_name  text NOT NULL,
    sdk_name     text NOT NULL,
    sdk_version  text NOT NULL,
    remote_addr  inet,
    payload      bytea NOT NULL,                 -- zstd of the JSON as it came
    PRIMARY KEY (project_id, id)
) PARTITION BY RANGE (id);
ALTER TABLE events ALTER payload SET STORAGE EXTERNAL;   -- compressed already
CREATE INDEX events_grouping ON events (project_id, grouping_id, id);
CREATE INDEX events_batch ON events USING brin (batch_id) WITH (pages_per_range = 16, autosummarize = off);
CREATE TABLE events_default PARTITION OF events DEFAULT;
CREATE UNIQUE INDEX events_default_event_id ON events_default (project_id, event_id);

-- One row per committed batch, written in the batch's own transaction: which spool range it came from.
CREATE TABLE digest_batches (
    id           bigint PRIMARY KEY,             -- of the sequence digest_batch_id
    node         uuid NOT NULL,
    segment      bigint NOT NULL,
    from_offset  bigint NOT NULL,
    to_offset    bigint NOT NULL,
    records      int NOT NULL,
    events       int NOT NULL,                   -- really inserted
    digested_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX digest_batches_range ON digest_batches (node, segment, from_offset);

CREATE TABLE issue_hours (
    project_id int NOT NULL,
    issue_id   uuid NOT NULL,
    hour       timestamptz NOT NULL,
    events     bigint NOT NULL,
    PRIMARY KEY (project_id, issue_id, hour),
    FOREIGN KEY (project_id, issue_id) REFERENCES issues ON DELETE CASCADE
) WITH (fillfactor = 70);
CREATE TABLE project_hours (
    project_id int NOT NULL REFERENCES projects ON DELETE CASCADE,
    hour       timestamptz NOT NULL,
    events     bigint NOT NULL,
    PRIMARY KEY (project_id, hour)
) WITH (fillfactor = 50);

-- What happened to issues, written in the transaction that made it happen. Activity and alerts feed on it.
CREATE TABLE issue_transitions (
    project_id int NOT NULL,
    id         bigint GENERATED ALWAYS AS IDENTITY,
    issue_id   uuid NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('new', 'regressed', 'resolved', 'unresolved', 'muted', 'unmuted')),
    event_row  uuid,                             -- events.id that caused it
    user_id    int,
    at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (project_id, id),
    FOREIGN KEY (project_id, issue_id) REFERENCES issues ON DELETE CASCADE
);

-- Records that could not be stored for a lasting reason. No foreign key: they outlive what they were about.
CREATE TABLE dead_letters (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    record_id     uuid NOT NULL CONSTRAINT dead_letters_record_key UNIQUE,
    project_id    bigint NOT NULL,
    event_id      uuid NOT NULL,
    received_at   timestamptz NOT NULL,
    reason        text NOT NULL,                 -- name in the error table
    sqlstate      text NOT NULL DEFAULT '',
    detail        text NOT NULL DEFAULT '',
    attempts      int NOT NULL DEFAULT 1,
    first_failed_at timestamptz NOT NULL DEFAULT now(),
    last_failed_at  timestamptz NOT NULL DEFAULT now(),
    meta          bytea NOT NULL,
    payload       bytea NOT NULL                 -- zstd
);

-- ---- ids and partitions

-- The lowest UUIDv7 of an instant (to the millisecond): a partition's bound or a search's end.
CREATE FUNCTION uuid7_floor(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0') || '00000000000000000000')::uuid
$$;

-- Makes the day partitions from days_back before to days_ahead after the day of `at`. Safe to call from many places at once. Rows which a
-- jumping clock put into the default partition stay there and make their day's partition impossible: such a day is skipped.
CREATE FUNCTION ensure_partitions(at timestamptz, days_back int, days_ahead int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    made int := 0;
    d    date;
    name text;
    lo   uuid;
    hi   uuid;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('picket.partitions'));
    FOR d IN SELECT (at AT TIME ZONE 'UTC')::date + i FROM generate_series(-days_back, days_ahead) i LOOP
        name := 'events_' || to_char(d, 'YYYYMMDD');
        CONTINUE WHEN to_regclass(name) IS NOT NULL;
        lo := uuid7_floor(d::timestamp AT TIME ZONE 'UTC');
        hi := uuid7_floor((d + 1)::timestamp AT TIME ZONE 'UTC');
        CONTINUE WHEN EXISTS (SELECT 1 FROM events_default e WHERE e.id >= lo AND e.id < hi);
        EXECUTE format('CREATE TABLE %I (LIKE events INCLUDING DEFAULTS INCLUDING STORAGE)', name);
        EXECUTE format('CREATE UNIQUE INDEX %I ON %I (project_id, event_id)', name || '_event_id', name);
        EXECUTE format('ALTER TABLE events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, lo, hi);
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;
SELECT ensure_partitions(now(), 1, 3);
