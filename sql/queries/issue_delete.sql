-- Issue $2 of project $1 goes. No row: there is none.
SELECT d.id FROM projects p CROSS JOIN LATERAL issues_delete(p.id, ARRAY[$2::uuid]) d(id) WHERE p.id = $1::int
