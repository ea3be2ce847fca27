-- Stored letters whose rows have no use any more ($1), and whose files are gone. One row for each that was there.
DELETE FROM dead_letters WHERE id = ANY ($1::bigint[]) AND status = 'stored' RETURNING id
