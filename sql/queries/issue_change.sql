-- Resolves, unresolves, mutes or unmutes an issue ($3) and notes what that changed, by user $4, at $5. No row: no such issue, or $3 is mute and it is
-- resolved. The row is locked before it is looked at, so the transition is of what really was there.
WITH was AS (
    SELECT id, is_resolved, is_muted FROM issues
     WHERE project_id = $1::int AND id = $2::uuid AND NOT ($3::text = 'mute' AND is_resolved)
       AND EXISTS (SELECT FROM projects WHERE id = $1) FOR NO KEY UPDATE),
now_is AS (
    UPDATE issues i
       SET is_resolved = CASE $3 WHEN 'resolve' THEN true WHEN 'unresolve' THEN false ELSE i.is_resolved END,
           is_muted = CASE $3 WHEN 'resolve' THEN false WHEN 'mute' THEN true WHEN 'unmute' THEN false ELSE i.is_muted END,
           resolved_at = CASE $3 WHEN 'resolve' THEN CASE WHEN i.is_resolved THEN i.resolved_at ELSE $5::timestamptz END
                                 WHEN 'unresolve' THEN NULL ELSE i.resolved_at END
      FROM was WHERE i.project_id = $1 AND i.id = was.id
    RETURNING i.*),
noted AS (
    INSERT INTO issue_transitions (project_id, issue_id, kind, user_id, at)
    SELECT $1, n.id, $3 || 'd', $4::int, $5
      FROM now_is n JOIN was w ON w.id = n.id
     WHERE CASE WHEN $3 IN ('resolve', 'unresolve') THEN n.is_resolved <> w.is_resolved ELSE n.is_muted <> w.is_muted END)
SELECT i.id, upper(p.slug) || '-' || i.number, i.title, i.value, i.first_seen, i.last_seen, i.event_count, i.level, i.platform, i.is_resolved,
       i.is_muted
  FROM now_is i JOIN projects p ON p.id = i.project_id
