-- Key $2 of project $1, its quotas after $3 (null: as they were), by $4. Null members are taken out.
UPDATE project_keys
   SET quotas = CASE WHEN $3::text IS NULL THEN quotas ELSE jsonb_strip_nulls(quotas || $3::text::jsonb) END
 WHERE project_id = $1::int AND id = $2::bigint
RETURNING id, public_key, is_active, created_at, quotas,
          audit_note($4::text::jsonb, CASE WHEN $3::text IS NOT NULL THEN 'key.change' END, project_id, id::text, jsonb_build_object('quotas', $3::text::jsonb))
