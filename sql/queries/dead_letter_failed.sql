-- A letter was tried again, in vain. $1 letter, $2 reason, $3 SQLSTATE, $4 detail, $5 position or null.
UPDATE dead_letters
   SET status = 'dead', attempts = attempts + 1, last_failed_at = now(), reason = $2::text, sqlstate = $3::text, detail = $4::text,
       position = $5::bigint
 WHERE id = $1::bigint AND status = 'retry'
