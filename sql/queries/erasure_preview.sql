-- What a request for $2 field, $3 key in project $1 would take away besides events and dead letters: feedback, users of sessions. No row: no such
-- project.
SELECT (SELECT count(*) FROM erasure_due_feedback(p.id, $2::text, $3::text, now(), NULL)),
       (SELECT count(*) FROM release_users u WHERE u.project_id = p.id AND u.user_hash = erasure_user_hash(p.id, $3::text))
  FROM projects p WHERE p.id = $1::int
