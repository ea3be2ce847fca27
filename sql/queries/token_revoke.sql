-- Token $1 and all that it made, and those made, …: rows of what is gone.
WITH RECURSIVE family AS (
    SELECT id FROM api_tokens WHERE id = $1::int
     UNION ALL
    SELECT t.id FROM family f JOIN api_tokens t ON t.parent_id = f.id)
DELETE FROM api_tokens WHERE id IN (SELECT id FROM family)
RETURNING id, audit_note(NULL, 'token.delete', NULL, id::text, jsonb_build_object('user', user_id, 'description', description))
