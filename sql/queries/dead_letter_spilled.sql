-- The letter is durable in a file: its row goes, unless it was changed meanwhile, and then the row counts.
DELETE FROM dead_letters WHERE id = $1::bigint AND status = 'dead' AND attempts = $2::int RETURNING id
