-- The installation's quotas after $1 (null: nothing changes), by $2. Null members are taken out.
WITH changed AS (
    UPDATE installation SET quotas = jsonb_strip_nulls(quotas || $1::text::jsonb) WHERE $1::text IS NOT NULL
    RETURNING quotas, audit_note($2::text::jsonb, 'installation.change', NULL, NULL, jsonb_build_object('quotas', $1::text::jsonb)))
SELECT quotas FROM changed UNION ALL SELECT quotas FROM installation WHERE $1::text IS NULL
