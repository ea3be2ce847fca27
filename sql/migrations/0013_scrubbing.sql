-- What a project wants taken out of what it sends (src/event/scrub.c): {"enabled": true, "drop_ip": false, "sensitive_fields": […], "safe_fields": […]};
-- what is absent is as here, and no names.
ALTER TABLE projects ADD COLUMN scrubbing jsonb NOT NULL DEFAULT '{}' CONSTRAINT projects_scrubbing CHECK (jsonb_typeof(scrubbing) = 'object');
