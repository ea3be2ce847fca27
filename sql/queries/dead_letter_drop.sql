-- Letters ($1; null: all that are not stored, of project $2 or of all) are dropped: nobody sees them again, and what they held is gone. The rows stay
-- for as long as files of them may lie somewhere. $3 by whom: a note for each that was named, one for all.
WITH dropped AS (
    UPDATE dead_letters
       SET status = 'stored', stored_at = coalesce(stored_at, now()), dropped_at = now(), payload = '', meta = '', remote_addr = NULL, position = NULL
     WHERE dropped_at IS NULL AND ($1::bigint[] IS NOT NULL OR status <> 'stored') AND ($1::bigint[] IS NULL OR id = ANY ($1::bigint[]))
       AND ($2::bigint IS NULL OR project_id = $2::bigint)
    RETURNING id, record_id, project_id
)
SELECT id, record_id,
       CASE WHEN $1 IS NOT NULL THEN audit_note($3::text::jsonb, 'dead_letter.drop', project_id::int, id::text)
            WHEN row_number() OVER () = 1 THEN audit_note($3::text::jsonb, 'dead_letter.drop', $2::int, NULL, jsonb_build_object('count', count(*) OVER ())) END
  FROM dropped ORDER BY id
