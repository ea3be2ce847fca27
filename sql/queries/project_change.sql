-- Null: as it was. $2 name; $3 quotas, whose categories replace those of the same name and whose null members are taken out; $4 and $5 retention, 0: as
-- the installation has it; $6 scrubbing, whose members replace those of the same name; $7 by whom; $8 allowed origins; $9 platform, '': none. Columns
-- as project_show.
WITH changed AS (
    UPDATE projects
       SET name = coalesce($2::text, name),
           quotas = CASE WHEN $3::text IS NULL THEN quotas ELSE jsonb_strip_nulls(quotas || $3::text::jsonb) END,
           scrubbing = CASE WHEN $6::text IS NULL THEN scrubbing ELSE jsonb_strip_nulls(scrubbing || $6::text::jsonb) END,
           retention_days = nullif(coalesce($4::bigint, retention_days), 0),
           retention_events_per_issue = nullif(coalesce($5::bigint, retention_events_per_issue), 0),
           allowed_origins = coalesce($8::text::jsonb, allowed_origins),
           platform = nullif(coalesce($9::text, platform), ''),
           updated_at = CASE WHEN num_nonnulls($2, $3, $4, $5, $6, $8, $9) > 0 THEN now() ELSE updated_at END
     WHERE id = $1::int
    RETURNING *, audit_note($7::text::jsonb, CASE WHEN num_nonnulls($2::text, $3::text, $4::bigint, $5::bigint, $6::text, $8::text, $9::text) > 0 THEN 'project.change' END, id, id::text,
                       jsonb_strip_nulls(jsonb_build_object(
                     'name', $2::text, 'quotas', $3::text::jsonb, 'retention_days', $4::bigint, 'retention_events_per_issue', $5::bigint, 'scrubbing', $6::text::jsonb,
                     'allowed_origins', $8::text::jsonb, 'platform', $9::text))))
SELECT p.id, p.name, p.slug, k.public_key, c.stored, c.digested, p.created_at, p.updated_at, p.platform, p.quotas, p.retention_days,
       p.retention_events_per_issue, p.scrubbing, p.allowed_origins
  FROM changed p
  JOIN project_counters c ON c.project_id = p.id
  LEFT JOIN LATERAL (SELECT public_key FROM project_keys k WHERE k.project_id = p.id AND k.is_active ORDER BY k.id LIMIT 1) k ON true
