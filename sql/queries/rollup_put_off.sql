-- The oldest batch waits, because it cannot be counted in time: sql/migrations/0039_rollup_mended.sql.
SELECT rollup_put_off()
