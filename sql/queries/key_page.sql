-- The keys of project $1, the newest first. No row: no such project; one row of nulls: it has none.
SELECT k.id, k.public_key, k.is_active, k.created_at, k.quotas, k.label
  FROM projects p LEFT JOIN project_keys k ON k.project_id = p.id
 WHERE p.id = $1::int
 ORDER BY k.id DESC
