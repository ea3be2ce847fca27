-- What a request for $2 field, $3 key in project $1 would take away besides events and dead letters: feedback, users of sessions. No row: no such
-- project.
SELECT (SELECT count(*) FROM feedback f WHERE f.project_id = p.id AND $2::text IN ('any', 'email') AND lower(f.email) = lower($3::text)),
       (SELECT count(*) FROM release_users u WHERE u.project_id = p.id AND u.user_hash = erasure_user_hash(p.id, $3::text))
  FROM projects p WHERE p.id = $1::int
