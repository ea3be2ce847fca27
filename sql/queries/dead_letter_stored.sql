-- Letters that are stored or dropped; whether their rows have no use any more: a week after, and sooner when there are more rows than $1, but not before
-- every server has looked for their files; and since when.
SELECT id, record_id,
       since < now() - interval '7 days'
       OR (since < now() - interval '1 minute' AND row_number() OVER (ORDER BY id) <= (SELECT count(*) FROM dead_letters) - $1::bigint),
       since
  FROM (SELECT id, record_id, greatest(stored_at, dropped_at) AS since FROM dead_letters WHERE status = 'stored') s ORDER BY id
