-- The limits of category $3 in scope $1 (0 installation, 1 project, 2 key) with id $2: $4 per minute and $5 per hour, null: as they were; $6: nothing is
-- said of it any more. Columns as quota_limits. No row: no such project or key.
WITH wanted AS (
    SELECT $3::text AS category, jsonb_strip_nulls(jsonb_build_object('minute', $4::bigint, 'hour', $5::bigint)) AS per, $6::boolean AS unset),
i AS (UPDATE installation t SET quotas = CASE WHEN w.unset THEN quotas - w.category
                                              ELSE quotas || jsonb_build_object(w.category, coalesce(quotas->w.category, '{}') || w.per) END
        FROM wanted w WHERE $1::bigint = 0 RETURNING quotas),
p AS (UPDATE projects t SET quotas = CASE WHEN w.unset THEN quotas - w.category
                                          ELSE quotas || jsonb_build_object(w.category, coalesce(quotas->w.category, '{}') || w.per) END
        FROM wanted w WHERE $1::bigint = 1 AND t.id = $2::bigint RETURNING quotas),
k AS (UPDATE project_keys t SET quotas = CASE WHEN w.unset THEN quotas - w.category
                                              ELSE quotas || jsonb_build_object(w.category, coalesce(quotas->w.category, '{}') || w.per) END
        FROM wanted w WHERE $1::bigint = 2 AND t.id = $2::bigint RETURNING quotas)
SELECT $1::bigint, $2::bigint, w.category, (u.quotas->w.category->>'minute')::bigint, (u.quotas->w.category->>'hour')::bigint,
       audit_note(NULL, CASE $1 WHEN 0 THEN 'installation' WHEN 1 THEN 'project' ELSE 'key' END || '.quota', CASE WHEN $1 = 1 THEN $2::int END, $2::text,
                  jsonb_strip_nulls(jsonb_build_object('category', w.category, 'minute', $4::bigint, 'hour', $5::bigint)))
  FROM wanted w, (SELECT * FROM i UNION ALL SELECT * FROM p UNION ALL SELECT * FROM k) u
