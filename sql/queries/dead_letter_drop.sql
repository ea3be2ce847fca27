-- Letters ($1; null: all that are not stored, of project $2 or of all) are gone for good.
WITH dropped AS (
    DELETE FROM dead_letters
     WHERE ($1::bigint[] IS NOT NULL OR status <> 'stored') AND ($1::bigint[] IS NULL OR id = ANY ($1::bigint[]))
       AND ($2::bigint IS NULL OR project_id = $2::bigint)
    RETURNING id, record_id
)
SELECT id, record_id FROM dropped ORDER BY id
