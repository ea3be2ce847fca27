-- A new key for the project; the old ones are refused from now on. No row: no such project. The lock: see key_add.
WITH project AS (SELECT id FROM projects WHERE id = $1::int FOR KEY SHARE),
old AS (UPDATE project_keys SET is_active = false WHERE project_id IN (SELECT id FROM project) AND is_active),
new AS (INSERT INTO project_keys (project_id, public_key) SELECT id, $2::uuid FROM project
        RETURNING project_id, public_key, audit_note(NULL, 'key.rotate', project_id, id::text))
SELECT project_id, public_key FROM new
