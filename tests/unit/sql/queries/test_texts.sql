SELECT 'varchar ä'::varchar, 'name'::name, '{"a":  1}'::json, '{"a":  1}'::jsonb, NULL::jsonb, NULL::text, ''::text, '\x00ff'::bytea, NULL::bytea
