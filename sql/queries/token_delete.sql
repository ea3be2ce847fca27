-- Token $1 and all that it made, and those made, …; $2 user; $3: may revoke everybody's; $4: may revoke this one alone; $5 by whom. Rows: what is gone.
WITH RECURSIVE family AS (
    SELECT id FROM api_tokens WHERE id = $1::int AND (user_id = $2::int OR $3::bool) AND ($4::int IS NULL OR id = $4)
     UNION ALL
    SELECT t.id FROM family f JOIN api_tokens t ON t.parent_id = f.id)
DELETE FROM api_tokens WHERE id IN (SELECT id FROM family)
RETURNING id, audit_note($5::text::jsonb, 'token.delete', NULL, id::text, jsonb_build_object('user', user_id, 'description', description))
