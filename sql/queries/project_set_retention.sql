-- Null: as it was; 0: as the installation has it.
UPDATE projects
   SET retention_days = nullif(coalesce($2::bigint, retention_days), 0),
       retention_events_per_issue = nullif(coalesce($3::bigint, retention_events_per_issue), 0),
       retention_bytes = nullif(coalesce($4::bigint, retention_bytes), 0),
       updated_at = now()
 WHERE id = $1::bigint
RETURNING retention_days, retention_events_per_issue, retention_bytes,
          audit_note(NULL, 'project.change', id, id::text, jsonb_strip_nulls(jsonb_build_object(
              'retention_days', $2::bigint, 'retention_events_per_issue', $3::bigint, 'retention_bytes', $4::bigint)))
