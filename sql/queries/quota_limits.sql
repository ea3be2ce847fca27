-- Every limit that was set: scope (0 installation, 1 project, 2 key), id, category's name, per minute, per hour; null: not said.
SELECT q.scope, q.id, e.key, (e.value->>'minute')::bigint, (e.value->>'hour')::bigint
  FROM (SELECT 0::bigint AS scope, 0::bigint AS id, quotas FROM installation
         UNION ALL SELECT 1, id, quotas FROM projects WHERE quotas <> '{}'
         UNION ALL SELECT 2, id, quotas FROM project_keys WHERE quotas <> '{}') q
 CROSS JOIN LATERAL jsonb_each(q.quotas) e
