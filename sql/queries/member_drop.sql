-- User $2 is a member of project $1 no more. No row: they were none.
DELETE FROM project_members WHERE project_id = $1::int AND user_id = $2::int RETURNING user_id
