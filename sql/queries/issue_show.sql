SELECT i.id, upper(p.slug) || '-' || i.number, i.title, i.value, i.first_seen, i.last_seen, i.event_count, i.level, i.platform, i.is_resolved,
       i.is_muted
  FROM issues i JOIN projects p ON p.id = i.project_id WHERE i.project_id = $1::int AND i.id = $2::uuid
