-- Small things that grow with time and hold no counters, some rows of each: how many went of feedback, check-ins, outcomes, sessions, others.
SELECT n_feedback, n_check_ins, n_outcomes, n_sessions, n_others FROM retention_tidied($1::timestamptz, $2::int, $3::int)
