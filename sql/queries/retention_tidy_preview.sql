-- How many would go of feedback, check-ins, outcomes, sessions, others, dead letters. $2 days of events, $3 of dead letters (0: none is too old).
SELECT n_feedback, n_check_ins, n_outcomes, n_sessions, n_others, n_dead_letters FROM retention_tidy_preview($1::timestamptz, $2::int, nullif($3::int, 0))
