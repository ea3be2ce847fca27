-- Project $1 goes. No row: there is none.
SELECT id FROM project_delete($1::int) AS gone(id)
