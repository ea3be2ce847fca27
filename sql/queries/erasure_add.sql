-- Somebody's data must go. $1 project, $2 field, $3 key, $4 user who asks or null; $5 by whom (the note does not
-- say whose data). Columns: as erasure_list's behind the first; no row, no such project.
INSERT INTO erasures AS e (project_id, field, key, user_id)
SELECT p.id, $2::text, $3::text, $4::int FROM projects p WHERE p.id = $1::int
RETURNING e.id, e.field, e.key, e.requested_at, e.done_at, e.forgotten_at, e.events, e.dead_letters, e.files, e.feedback, e.session_users, e.bytes,
          audit_note($5::text::jsonb, 'erasure.create', e.project_id, e.id::text, jsonb_build_object('field', e.field))
