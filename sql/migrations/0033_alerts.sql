-- Alerts: whom they reach (channels, of the installation) and what of (rules, at most one of a kind for a project). Sending comes with a later migration.
CREATE TABLE alert_channels (
    id                   int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name                 text NOT NULL CONSTRAINT alert_channels_name_key UNIQUE CHECK (length(name) BETWEEN 1 AND 255),
    channel_type         text NOT NULL CHECK (channel_type IN ('webhook', 'email', 'slack')),
    config               jsonb NOT NULL CHECK (jsonb_typeof(config) = 'object'), -- with its secrets; who reads it gets alert_config_shown()
    is_enabled           boolean NOT NULL DEFAULT true,
    failure_count        int NOT NULL DEFAULT 0, -- since the last success
    last_failure_at      timestamptz,
    last_failure_message text,
    last_success_at      timestamptz,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now());

CREATE TABLE alert_rules (
    id                int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id        int NOT NULL REFERENCES projects ON DELETE CASCADE,
    name              text NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    alert_type        text NOT NULL CHECK (alert_type IN ('new_issue', 'regression', 'unmute')),
    is_enabled        boolean NOT NULL DEFAULT true,
    conditions        jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(conditions) = 'object'),
    cooldown_minutes  int NOT NULL DEFAULT 0 CHECK (cooldown_minutes >= 0),
    last_triggered_at timestamptz,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT alert_rules_type_key UNIQUE (project_id, alert_type));

CREATE TABLE alert_rule_channels (
    rule_id    int NOT NULL REFERENCES alert_rules ON DELETE CASCADE,
    channel_id int NOT NULL REFERENCES alert_channels ON DELETE CASCADE,
    PRIMARY KEY (rule_id, channel_id));
CREATE INDEX alert_rule_channels_channel ON alert_rule_channels (channel_id);

-- Secrets leave the database as eight asterisks: a webhook's secret and the values of its headers, a mail server's password, all of a Slack webhook's URL
-- behind its host. A form that shows them sends them back: whoever writes asterisks means what is stored.
CREATE FUNCTION alert_config_shown(p_config jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT p_config || coalesce(jsonb_object_agg(s.key, CASE
               WHEN s.key = 'headers' THEN (SELECT coalesce(jsonb_object_agg(h.key, '********'), '{}') FROM jsonb_each(s.value) h)
               WHEN s.key = 'webhook_url' THEN '"https://hooks.slack.com/services/********"'
               ELSE '"********"' END), '{}')
      FROM jsonb_each(p_config) s
     WHERE CASE WHEN s.key = 'headers' THEN jsonb_typeof(s.value) = 'object'
                ELSE s.key IN ('secret', 'smtp_password', 'webhook_url') AND jsonb_typeof(s.value) = 'string' AND s.value <> '""' END
$$;

-- What is stored when `p_new` replaces `p_old`. Asterisks for what is not there stand for nothing.
CREATE FUNCTION alert_config_kept(p_old jsonb, p_new jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(jsonb_object_agg(n.key, k.value) FILTER (WHERE k.value IS NOT NULL), '{}')
      FROM jsonb_each(p_new) n
     CROSS JOIN LATERAL (SELECT CASE
               WHEN n.key IN ('secret', 'smtp_password') AND n.value = '"********"' THEN p_old->n.key
               WHEN n.key = 'webhook_url' AND n.value = '"https://hooks.slack.com/services/********"' THEN p_old->n.key
               WHEN n.key = 'headers' AND jsonb_typeof(n.value) = 'object' THEN (
                    SELECT coalesce(jsonb_object_agg(h.key, v.value) FILTER (WHERE v.value IS NOT NULL), '{}')
                      FROM jsonb_each(n.value) h
                     CROSS JOIN LATERAL (SELECT CASE WHEN h.value = '"********"' THEN p_old->'headers'->h.key ELSE h.value END AS value) v)
               ELSE n.value END AS value) k
$$;

-- Why that is refused, or null. Who may change where alerts go must not learn, by having them sent elsewhere, the secrets that go along; on a host of many
-- customers elsewhere is another path.
CREATE FUNCTION alert_config_refusal(p_old jsonb, p_new jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN alert_config_kept(p_old, p_new) = alert_config_kept('{}', p_new) THEN
            CASE WHEN p_new->>'webhook_url' = 'https://hooks.slack.com/services/********' AND p_old->>'webhook_url' IS NULL
                 THEN 'Slack webhook URL is required' END
        WHEN p_old->>'url' IS DISTINCT FROM p_new->>'url'
        THEN 'The webhook has another URL: its secret and the values of its headers must be said again'
        WHEN p_old->>'smtp_host' IS DISTINCT FROM p_new->>'smtp_host' OR p_old->>'smtp_port' IS DISTINCT FROM p_new->>'smtp_port'
        THEN 'Mail goes through another server: its password must be said again' END
$$;

-- Links the rule to those channels only; null: to those that it has. All of its channels, as they are then: what another change did while this one waited for
-- the rule's row is seen, which the statement around this cannot.
CREATE FUNCTION alert_rule_link(p_rule int, p_channels int[]) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    IF p_channels IS NOT NULL THEN
        DELETE FROM alert_rule_channels c WHERE c.rule_id = p_rule AND c.channel_id <> ALL (p_channels);
        INSERT INTO alert_rule_channels (rule_id, channel_id) SELECT p_rule, c.id FROM unnest(p_channels) c(id) ON CONFLICT DO NOTHING;
    END IF;
    RETURN (SELECT coalesce(jsonb_agg(c.channel_id ORDER BY c.channel_id), '[]') FROM alert_rule_channels c WHERE c.rule_id = p_rule);
END $$;
