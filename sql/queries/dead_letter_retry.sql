-- Stores one letter ($39) by the statement that stores batches, and notes what became of it in the same transaction; $40: without the address that it
-- came from. No row: somebody else has it in hand, or had. Columns: outcome, as digest_batch says it.
WITH letter AS MATERIALIZED (
    SELECT id, CASE WHEN $40::boolean OR (SELECT p.scrubbing->>'drop_ip' FROM projects p WHERE p.id = d.project_id) = 'true' THEN NULL
                    ELSE remote_addr END AS remote_addr
      FROM dead_letters d WHERE id = $39::bigint AND status = 'retry' FOR UPDATE SKIP LOCKED),
tried AS MATERIALIZED (
    SELECT id, (digest_events($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25,
                             $26, $27, $28, $29, CASE WHEN remote_addr IS NULL THEN $30::inet[] ELSE ARRAY[remote_addr] END, $31, $32, $33, $34,
                             $35, $36, $37, $38))[1] AS outcome
      FROM letter)
UPDATE dead_letters d
   SET status         = CASE WHEN t.outcome = 2 THEN 'dead' ELSE 'stored' END,
       stored_at      = CASE WHEN t.outcome IN (1, 3) THEN dead_letter_accepted(d) WHEN t.outcome <> 2 THEN now() END,
       payload        = CASE WHEN t.outcome = 2 THEN d.payload ELSE '' END,
       reason         = CASE WHEN t.outcome = 2 THEN 'NO_PROJECT' ELSE d.reason END,
       sqlstate       = CASE WHEN t.outcome = 2 THEN '' ELSE d.sqlstate END,
       detail         = CASE WHEN t.outcome = 2 THEN '' ELSE d.detail END,
       position       = CASE WHEN t.outcome <> 2 THEN d.position END,
       attempts       = d.attempts + (t.outcome = 2)::int,
       last_failed_at = CASE WHEN t.outcome = 2 THEN now() ELSE d.last_failed_at END
  FROM tried t
 WHERE d.id = t.id
RETURNING t.outcome
