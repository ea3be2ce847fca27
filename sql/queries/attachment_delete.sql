-- Its file goes with the next sweep, unless another row names it.
DELETE FROM attachments WHERE project_id = $1::int AND id = $2::uuid AND EXISTS (SELECT FROM projects WHERE id = $1)
RETURNING id, audit_note($3::text::jsonb, 'attachment.delete', project_id, id::text, jsonb_build_object('name', name, 'event_id', event_id))
