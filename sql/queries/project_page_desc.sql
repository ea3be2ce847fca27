-- A page of projects, each with the key of its DSN: the oldest active one. $1 limit, $2 offset; $3, $4: http_bind_reach(). One row with nulls when the page is empty.
WITH seen AS NOT MATERIALIZED (
    SELECT * FROM projects p
     WHERE ($3::int IS NULL OR p.id IN (SELECT m.project_id FROM project_members m WHERE m.user_id = $3)) AND ($4::text IS NULL OR p.id = ANY ($4::text::int[]))),
page AS (SELECT * FROM seen ORDER BY created_at DESC, id DESC LIMIT $1::bigint OFFSET $2::bigint)
SELECT t.n, p.id, p.name, p.slug, k.public_key, c.stored, c.digested, p.created_at, p.updated_at, p.platform
  FROM (SELECT count(*) AS n FROM seen) t
  LEFT JOIN page p ON true
  LEFT JOIN project_counters c ON c.project_id = p.id
  LEFT JOIN LATERAL (SELECT public_key FROM project_keys k WHERE k.project_id = p.id AND k.is_active ORDER BY k.id LIMIT 1) k ON true
 ORDER BY p.created_at DESC, p.id DESC
