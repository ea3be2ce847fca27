-- Looks at the cron monitors for server $1 at $2, which listens since $3 and has stored all that it took until $4 (null: not known yet; erasures are told,
-- too). Events that it shall take into its spool, $5 at most.
SELECT ret_project, ret_id, ret_event_id, ret_made_at, ret_payload FROM server_tick($1, $2::timestamptz, $3::timestamptz, $4::timestamptz, $5::int)
