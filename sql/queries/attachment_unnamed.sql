-- The places (from 1) in $2 of contents of project $1 that no row names. A dead letter of kind 7 names one that we cannot see: while a project has such
-- letters that may yet be stored, everything of it stays.
SELECT f.place
  FROM unnest($2::bytea[]) WITH ORDINALITY f(sha256, place)
 WHERE NOT EXISTS (SELECT FROM attachments a WHERE a.project_id = $1::bigint AND a.sha256 = f.sha256)
   AND NOT EXISTS (SELECT FROM dead_letters d WHERE d.project_id = $1 AND d.kind = 7 AND d.status <> 'stored')
