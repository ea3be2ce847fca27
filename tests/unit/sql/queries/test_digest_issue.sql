-- An issue by its title, with what happened to it in order.
SELECT i.id, i.event_count, i.is_resolved, i.is_muted, i.first_seen, i.last_seen,
       (SELECT string_agg(t.kind, ' ' ORDER BY t.id) FROM issue_transitions t WHERE t.project_id = i.project_id AND t.issue_id = i.id)
  FROM issues i WHERE i.project_id = $1::int AND i.title = $2
