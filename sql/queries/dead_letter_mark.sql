-- Letters ($1; null: all that are dead or marked, of project $2 or of all) are to be tried again. Rows: what they were before; no row, no
-- such letter. $3 by whom: a note for each that was named, one for all.
WITH asked AS (
    SELECT id, status, stored_at, project_id FROM dead_letters
     WHERE dropped_at IS NULL AND ($1::bigint[] IS NOT NULL OR status <> 'stored') AND ($1::bigint[] IS NULL OR id = ANY ($1::bigint[]))
       AND ($2::bigint IS NULL OR project_id = $2::bigint)
     ORDER BY id FOR UPDATE),
marked AS (
    UPDATE dead_letters d SET status = 'retry' FROM asked a WHERE d.id = a.id AND a.status = 'dead')
SELECT id, status, stored_at,
       CASE WHEN $1 IS NOT NULL THEN audit_note($3::text::jsonb, 'dead_letter.retry', project_id::int, id::text)
            WHEN row_number() OVER () = 1 THEN audit_note($3::text::jsonb, 'dead_letter.retry', $2::int, NULL, jsonb_build_object('count', count(*) OVER ())) END
  FROM asked ORDER BY id
