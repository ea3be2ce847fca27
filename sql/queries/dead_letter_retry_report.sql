-- As dead_letter_retry for what is no event ($13 letter): stored by the statement that ends batches. Column: 1, stored.
WITH letter AS MATERIALIZED (
    SELECT id, remote_addr FROM dead_letters WHERE id = $13::bigint AND status = 'retry' FOR UPDATE SKIP LOCKED),
tried AS MATERIALIZED (
    SELECT id, digest_reports($1, $2, $3, $4, $5, $6, $7, $8, $9, $10,
                              CASE WHEN remote_addr IS NULL THEN $11::inet[] ELSE ARRAY[remote_addr] END, $12) AS done
      FROM letter)
UPDATE dead_letters d SET status = 'stored', stored_at = dead_letter_accepted(d), payload = '', position = NULL
  FROM tried t
 WHERE d.id = t.id
RETURNING 1
