-- Key $2 of project $1, by $4. Null: as it was. $3 quotas, whose null members are taken out; $5 label; $6 whether it is active. Columns as key_page.
UPDATE project_keys
   SET quotas = CASE WHEN $3::text IS NULL THEN quotas ELSE jsonb_strip_nulls(quotas || $3::text::jsonb) END,
       label = coalesce($5::text, label),
       is_active = coalesce($6::boolean, is_active)
 WHERE project_id = $1::int AND id = $2::bigint
RETURNING id, public_key, is_active, created_at, quotas, label,
          audit_note($4::text::jsonb, CASE WHEN num_nonnulls($3::text, $5::text, $6::boolean) > 0 THEN 'key.change' END, project_id, id::text,
                     jsonb_strip_nulls(jsonb_build_object('label', $5::text, 'is_active', $6::boolean))
                         || CASE WHEN $3::text IS NULL THEN '{}' ELSE jsonb_build_object('quotas', $3::text::jsonb) END)
