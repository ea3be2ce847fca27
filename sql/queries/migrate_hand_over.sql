-- The session of a migration becomes one of a pool: its name, and its statement_timeout in ms.
SELECT set_config('application_name', $1, false), set_config('statement_timeout', $2, false)
