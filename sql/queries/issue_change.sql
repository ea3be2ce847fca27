-- Changes an issue and notes it (issues_change in 0038): $3 resolve, unresolve, mute, unmute or null, $4 whether it is assigned, to $5 (null: nobody); by user $6, at $7.
-- No row: no such issue, or $3 is mute and it is resolved.
SELECT t.*
  FROM issues_change($1::int, ARRAY[$2::uuid], $3::text, $4::boolean, $5::int, $6::int, $7::timestamptz) c
 CROSS JOIN LATERAL issue_item_now($1, c.issue_id, $7) t
