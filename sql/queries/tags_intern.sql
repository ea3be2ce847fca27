-- The numbers of tags, in the order of the questions: sql/migrations/0037_rollup.sql.
SELECT id, closed FROM tags_intern($1::int[], $2::text[], $3::text[])
