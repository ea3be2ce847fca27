-- Accounts: what a user may do (role) and where (projects), what a token may do of that, links by which people come in or set a password, and who changed what.
--
-- is_admin stays for the release before, which knows nothing else; it follows the role.
ALTER TABLE users
    ADD role text NOT NULL DEFAULT 'member' CONSTRAINT users_role_known CHECK (role IN ('owner', 'admin', 'member', 'viewer')),
    ADD all_projects boolean NOT NULL DEFAULT true; -- false: those of project_members; owners and administrators see all of them anyway
UPDATE users SET role = 'owner' WHERE is_admin;
ALTER TABLE users ALTER all_projects SET DEFAULT false; -- of whom the release before lets in from now on

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

-- A number that may be shown, and where the session began.
ALTER TABLE sessions
    ADD id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT sessions_id_key UNIQUE,
    ADD address inet,
    ADD user_agent text CONSTRAINT sessions_user_agent_length CHECK (length(user_agent) <= 256);

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
CREATE UNIQUE INDEX user_links_reset ON user_links (user_id) WHERE kind = 'password_reset'; -- a newer one replaces the older
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
CREATE INDEX audit_log_action ON audit_log (action, id DESC);
CREATE INDEX audit_log_at ON audit_log (at);

-- Called in the statement that makes the change, for each row that it changed. p_actor: {"user", "email", "token", "address"}. No p_action, no note.
CREATE FUNCTION audit_note(p_actor jsonb, p_action text, p_project int, p_target text, p_details jsonb DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
    INSERT INTO audit_log (user_id, user_email, token_id, address, action, project_id, target, details)
    SELECT (p_actor->>'user')::int, p_actor->>'email', (p_actor->>'token')::int, (p_actor->>'address')::inet, p_action, p_project, p_target, p_details
     WHERE p_action IS NOT NULL
$$;

CREATE VIEW users_shown AS
    SELECT u.id, u.email, u.role, u.is_active, u.all_projects,
           (SELECT coalesce(jsonb_agg(m.project_id ORDER BY m.project_id), '[]') FROM project_members m JOIN projects p ON p.id = m.project_id
             WHERE m.user_id = u.id)::text AS project_ids,
           u.created_at, u.last_login_at
      FROM users u;

-- Changes a user, or with p_drop removes them; NULL: as it was. One row: why not, or what the user is now. The last active owner stays one: all of them
-- are locked, in the order of their ids, and then looked at again, so that of two who each take one away the second sees what the first did. Whoever asks
-- is locked with them: who is demoted meanwhile does not come through. With the right to give links go those that were given.
CREATE FUNCTION user_change(p_actor jsonb, p_user int, p_role text, p_active boolean, p_all_projects boolean, p_drop boolean)
RETURNS TABLE (refusal text, shown users_shown) LANGUAGE plpgsql AS $$
DECLARE
    v_by_id int := (p_actor->>'user')::int;
    v_by text;
    v_was users;
    v_role text;
    v_active boolean;
BEGIN
    PERFORM FROM users WHERE id IN (v_by_id, p_user) OR (role = 'owner' AND is_active) ORDER BY id FOR NO KEY UPDATE;
    SELECT role INTO v_by FROM users WHERE id = v_by_id AND is_active AND is_admin;
    SELECT * INTO v_was FROM users WHERE id = p_user;
    v_role := coalesce(p_role, v_was.role);
    v_active := NOT p_drop AND coalesce(p_active, v_was.is_active);
    refusal := CASE
        WHEN v_was.id IS NULL THEN 'none'
        WHEN v_by IS NULL THEN 'rights'
        WHEN v_by <> 'owner' AND 'owner' IN (v_was.role, v_role) THEN 'owner'
        WHEN v_was.role = 'owner' AND v_was.is_active AND NOT (v_role = 'owner' AND v_active)
         AND NOT EXISTS (SELECT FROM users WHERE role = 'owner' AND is_active AND id <> p_user) THEN 'last' END;
    IF refusal IS NOT NULL THEN
        RETURN NEXT;
        RETURN;
    END IF;
    IF NOT v_active THEN
        DELETE FROM sessions WHERE user_id = p_user;
    END IF;
    IF NOT v_active OR v_role <> v_was.role THEN
        DELETE FROM user_links WHERE user_id = p_user OR created_by = p_user;
    END IF;
    IF p_drop THEN
        DELETE FROM users WHERE id = p_user;
        PERFORM audit_note(p_actor, 'user.delete', NULL, p_user::text, jsonb_build_object('email', v_was.email));
        RETURN NEXT;
        RETURN;
    END IF;
    UPDATE users SET role = v_role, is_active = v_active, all_projects = coalesce(p_all_projects, all_projects) WHERE id = p_user;
    PERFORM audit_note(p_actor, 'user.change', NULL, p_user::text,
                       jsonb_strip_nulls(jsonb_build_object('email', v_was.email, 'role', p_role, 'is_active', p_active, 'all_projects', p_all_projects)));
    RETURN QUERY SELECT NULL::text, s FROM users_shown s WHERE s.id = p_user;
END $$;

-- The first administrator, unless there is somebody. The lock is one that every other maker of a user waits for or has to be waited for.
CREATE FUNCTION user_first(p_email text, p_password_hash text) RETURNS SETOF int LANGUAGE plpgsql AS $$
BEGIN
    LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE;
    RETURN QUERY
        WITH made AS (
            INSERT INTO users (email, password_hash, role) SELECT p_email, p_password_hash, 'owner' WHERE NOT EXISTS (SELECT FROM users) RETURNING id)
        SELECT m.id FROM made m CROSS JOIN LATERAL audit_note(NULL, 'user.create', NULL, m.id::text, jsonb_build_object('email', p_email, 'role', 'owner'));
END $$;
