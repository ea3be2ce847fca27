-- Issue $2 of project $1 goes, by $3. No row: there is none.
SELECT d.id, audit_note($3::text::jsonb, 'issue.delete', p.id, d.id::text)
  FROM projects p CROSS JOIN LATERAL issues_delete(p.id, ARRAY[$2::uuid]) d(id) WHERE p.id = $1::int
