-- Letters that are stored, and whether their rows have no use any more: a week after, and sooner when there are more rows than $1.
SELECT id, record_id,
       stored_at < now() - interval '7 days' OR row_number() OVER (ORDER BY id) <= (SELECT count(*) FROM dead_letters) - $1::bigint
  FROM dead_letters WHERE status = 'stored' ORDER BY id
