-- Letters ($1; null: all that are not stored, of project $2 or of all) are dropped: nobody sees them again, and what they held is gone. The rows stay
-- for as long as files of them may lie somewhere.
WITH dropped AS (
    UPDATE dead_letters
       SET status = 'stored', stored_at = coalesce(stored_at, now()), dropped_at = now(), payload = '', meta = '', remote_addr = NULL, position = NULL
     WHERE dropped_at IS NULL AND ($1::bigint[] IS NOT NULL OR status <> 'stored') AND ($1::bigint[] IS NULL OR id = ANY ($1::bigint[]))
       AND ($2::bigint IS NULL OR project_id = $2::bigint)
    RETURNING id, record_id
)
SELECT id, record_id FROM dropped ORDER BY id
