-- All sessions of user $1 end but $2, which asks. One row: how many there were.
WITH ended AS (DELETE FROM sessions WHERE user_id = $1::int AND hash <> $2::bytea RETURNING 1),
n AS (SELECT count(*) AS n FROM ended)
SELECT n, audit_note($3::text::jsonb, 'session.end_others', NULL, NULL, jsonb_build_object('count', n)) FROM n
