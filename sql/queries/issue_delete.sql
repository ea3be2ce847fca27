-- Issue $2 of project $1 goes. No row: there is none.
SELECT id FROM issues_delete($1::int, ARRAY[$2::uuid]) AS gone(id)
