-- Session $1 ends, if it is of user $2; $3: or whosever.
DELETE FROM sessions WHERE id = $1::bigint AND (user_id = $2::int OR $3::boolean)
RETURNING id, audit_note($4::text::jsonb, 'session.end', NULL, id::text, jsonb_build_object('user', user_id))
