-- $2 user; $3: may revoke everybody's.
DELETE FROM api_tokens WHERE id = $1::int AND (user_id = $2::int OR $3::bool) RETURNING id
