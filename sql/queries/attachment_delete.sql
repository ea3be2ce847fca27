-- Its file goes with the next sweep, unless another row names it.
DELETE FROM attachments WHERE project_id = $1::int AND id = $2::uuid AND EXISTS (SELECT FROM projects WHERE id = $1) RETURNING id
