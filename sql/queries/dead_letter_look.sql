-- What is there, after rows without a use are gone: letters that were stored a week ago, and sooner when there are more rows than $1.
WITH rows AS (SELECT count(*) AS n FROM dead_letters),
gone AS (
    DELETE FROM dead_letters
     WHERE status = 'stored'
       AND (stored_at < now() - interval '7 days'
            OR id IN (SELECT id FROM dead_letters WHERE status = 'stored' ORDER BY id LIMIT (SELECT greatest(0, n - $1::bigint) FROM rows)))
    RETURNING 1)
SELECT count(*) FILTER (WHERE status = 'dead'), count(*) FILTER (WHERE status = 'retry'),
       count(*) FILTER (WHERE status = 'stored') - (SELECT count(*) FROM gone)
  FROM dead_letters
