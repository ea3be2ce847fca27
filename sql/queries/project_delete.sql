-- Project $1 goes, by $2. No row: there is none.
SELECT gone.id, audit_note($2::text::jsonb, 'project.delete', $1::int, $1::text, (SELECT jsonb_build_object('name', p.name) FROM projects p WHERE p.id = $1::int))
  FROM project_delete($1::int) AS gone(id)
