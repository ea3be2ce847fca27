-- Accounts: what a user may do (role) and where (projects), what a token may do of that, links by which people come in or set a password, and who changed what.
--
-- is_admin stays for the release before, which knows nothing else; it follows the role.
ALTER TABLE users
    ADD role text NOT NULL DEFAULT 'member' CONSTRAINT users_role_known CHECK (role IN ('owner', 'admin', 'member', 'viewer')),
    ADD all_projects boolean NOT NULL DEFAULT true; -- false: those of project_members; owners and administrators see all of them anyway
UPDATE users SET role = 'owner' WHERE is_admin;

CREATE FUNCTION users_role() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' AND NEW.is_admin AND NEW.role = 'member' THEN
        NEW.role := 'owner';
    ELSIF TG_OP = 'UPDATE' AND NEW.is_admin <> OLD.is_admin AND NEW.role = OLD.role THEN
        NEW.role := CASE WHEN NEW.is_admin THEN 'admin' ELSE 'member' END;
    END IF;
    NEW.is_admin := NEW.role IN ('owner', 'admin');
    RETURN NEW;
END $$;
CREATE TRIGGER users_role BEFORE INSERT OR UPDATE OF role, is_admin ON users FOR EACH ROW EXECUTE FUNCTION users_role();

CREATE TABLE project_members (
    project_id int NOT NULL REFERENCES all_projects ON DELETE CASCADE,
    user_id    int NOT NULL REFERENCES users ON DELETE CASCADE,
    added_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (project_id, user_id));
CREATE INDEX project_members_user ON project_members (user_id, project_id);

-- Whether a user sees a project that is there.
CREATE FUNCTION user_sees(p_user int, p_project int) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM projects p WHERE p.id = p_project)
       AND EXISTS (SELECT FROM users u
                    WHERE u.id = p_user AND (u.is_admin OR u.all_projects OR EXISTS (SELECT FROM project_members m WHERE m.project_id = p_project AND m.user_id = u.id)))
$$;

-- NULL: all that its user may do, everywhere that its user sees.
ALTER TABLE api_tokens ADD scopes text[], ADD project_ids int[];

-- Single use: whoever takes one deletes it. Stored as the hash of what the link bears.
CREATE TABLE user_links (
    id          int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hash        bytea NOT NULL CONSTRAINT user_links_hash_key UNIQUE,
    kind        text NOT NULL CHECK (kind IN ('invitation', 'password_reset')),
    user_id     int REFERENCES users ON DELETE CASCADE,    -- of a password_reset
    email       text,                                      -- of an invitation, NULL: whoever has it says their own
    role        text CHECK (role IN ('owner', 'admin', 'member', 'viewer')),
    project_ids int[],                                     -- NULL: all
    created_by  int REFERENCES users ON DELETE SET NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL,
    CHECK ((kind = 'password_reset') = (user_id IS NOT NULL)),
    CHECK ((kind = 'invitation') = (role IS NOT NULL)));
CREATE INDEX user_links_user ON user_links (user_id);
CREATE INDEX user_links_expiry ON user_links (expires_at);

-- Who changed what, from where. Names are kept beside ids: users, tokens and projects go, what they did stays.
CREATE TABLE audit_log (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT now(),
    user_id    int,  -- NULL: a command on the server, or nobody who was known
    user_email text,
    token_id   int,  -- NULL: by session
    address    inet,
    action     text NOT NULL CHECK (length(action) BETWEEN 1 AND 64), -- project.delete
    project_id int,  -- NULL: of the installation
    target     text, -- the id of what was changed
    details    jsonb);
CREATE INDEX audit_log_project ON audit_log (project_id, id DESC) WHERE project_id IS NOT NULL;
CREATE INDEX audit_log_user ON audit_log (user_id, id DESC) WHERE user_id IS NOT NULL;
CREATE INDEX audit_log_at ON audit_log (at);

-- Called in the statement that makes the change, for each row that it changed. p_actor: {"user", "email", "token", "address"}.
CREATE FUNCTION audit_note(p_actor jsonb, p_action text, p_project int, p_target text, p_details jsonb DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
    INSERT INTO audit_log (user_id, user_email, token_id, address, action, project_id, target, details)
    VALUES ((p_actor->>'user')::int, p_actor->>'email', (p_actor->>'token')::int, (p_actor->>'address')::inet, p_action, p_project, p_target, p_details)
$$;
