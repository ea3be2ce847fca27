-- User $2 is a member of project $1 no more, says $3. No row: they were none.
DELETE FROM project_members WHERE project_id = $1::int AND user_id = $2::int
RETURNING user_id, audit_note($3::text::jsonb, 'member.remove', project_id, user_id::text)
