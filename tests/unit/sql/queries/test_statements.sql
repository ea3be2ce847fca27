-- What is prepared on this connection for a statement of that name.
SELECT count(*) FROM pg_prepared_statements WHERE name LIKE '%\_' || $1
