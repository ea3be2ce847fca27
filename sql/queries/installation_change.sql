-- The installation's quotas after $1 (null: nothing changes). Null members are taken out.
WITH changed AS (
    UPDATE installation SET quotas = jsonb_strip_nulls(quotas || $1::text::jsonb) WHERE $1::text IS NOT NULL RETURNING quotas)
SELECT quotas FROM changed UNION ALL SELECT quotas FROM installation WHERE $1::text IS NULL
