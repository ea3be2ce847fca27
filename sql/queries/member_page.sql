-- A page of project $1's members, by the number of the user. $2 limit, $3 offset. First column: how many there are; nulls behind it: an empty page. No row: no
-- such project.
WITH page AS (
    SELECT m.user_id, u.email, u.role, u.is_active, m.added_at FROM project_members m JOIN users u ON u.id = m.user_id
     WHERE m.project_id = $1::int ORDER BY m.user_id LIMIT $2::bigint OFFSET $3::bigint)
SELECT t.n, m.user_id, m.email, m.role, m.is_active, m.added_at
  FROM projects p
 CROSS JOIN (SELECT count(*) AS n FROM project_members WHERE project_id = $1) t
  LEFT JOIN page m ON true
 WHERE p.id = $1
 ORDER BY m.user_id
