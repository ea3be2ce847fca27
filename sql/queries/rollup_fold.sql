-- Counts tags and users of at most $1 batches with about $2 events: sql/migrations/0037_rollup.sql.
SELECT batches::bigint, events, held, since, failed FROM rollup_fold($1::int, $2::bigint)
