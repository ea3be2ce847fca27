-- Tokens that tokens made. Such a one goes with its maker, and is kept to what its maker may, also when that is limited later: the triggers see to it whoever
-- changes a row. Those made before this are nobody's.
ALTER TABLE api_tokens ADD parent_id int CONSTRAINT api_tokens_parent_id_fkey REFERENCES api_tokens ON DELETE CASCADE;
CREATE INDEX api_tokens_parent ON api_tokens (parent_id) WHERE parent_id IS NOT NULL;

-- So do links by which people come in or set a password: with the token that gave them.
ALTER TABLE user_links ADD token_id int CONSTRAINT user_links_token_id_fkey REFERENCES api_tokens ON DELETE CASCADE;
CREATE INDEX user_links_token ON user_links (token_id) WHERE token_id IS NOT NULL;

-- Cuts a token to its maker's limits. NULL is no limit, an empty list nothing. The maker's row is held, so that its limits do not change meanwhile.
CREATE FUNCTION api_token_keep() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_by api_tokens;
BEGIN
    SELECT * INTO v_by FROM api_tokens WHERE id = NEW.parent_id FOR SHARE;
    IF v_by.scopes IS NOT NULL THEN
        NEW.scopes := CASE WHEN NEW.scopes IS NULL THEN v_by.scopes ELSE ARRAY(SELECT s FROM unnest(NEW.scopes) s WHERE s = ANY (v_by.scopes)) END;
    END IF;
    IF v_by.project_ids IS NOT NULL THEN
        NEW.project_ids := CASE WHEN NEW.project_ids IS NULL THEN v_by.project_ids
                                ELSE ARRAY(SELECT p FROM unnest(NEW.project_ids) p WHERE p = ANY (v_by.project_ids)) END;
    END IF;
    NEW.expires_at := least(NEW.expires_at, v_by.expires_at);
    RETURN NEW;
END $$;
CREATE TRIGGER api_token_keep BEFORE INSERT OR UPDATE OF scopes, project_ids, expires_at, parent_id ON api_tokens
    FOR EACH ROW WHEN (NEW.parent_id IS NOT NULL) EXECUTE FUNCTION api_token_keep();

-- Limits go down to those that it made: each of them is kept anew.
CREATE FUNCTION api_token_pass_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE api_tokens SET expires_at = expires_at WHERE parent_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER api_token_pass_on AFTER UPDATE OF scopes, project_ids, expires_at ON api_tokens FOR EACH ROW EXECUTE FUNCTION api_token_pass_on();
