-- Who has the link with hash $1 becomes a user, with a session: $2 e-mail (of a link that names nobody), $3 password hash, $4 and $5 the session's hash and longest
-- life in microseconds, $6 from where, $7 user agent. The link goes: of two at once the second finds none. One row: the link names nobody and $2 is null; then the
-- user, or nulls: there is no such link.
WITH link AS (
    DELETE FROM user_links
     WHERE hash = $1::bytea AND kind = 'invitation' AND expires_at > now() AND coalesce(email, $2::text) IS NOT NULL
    RETURNING *),
who AS (
    INSERT INTO users (email, password_hash, role, all_projects, last_login_at)
    SELECT coalesce(email, $2), $3::text, role, project_ids IS NULL, now() FROM link
    RETURNING id, email, role, audit_note($6::text::jsonb || jsonb_build_object('user', id, 'email', email), 'invitation.accept', NULL,
                                                    (SELECT id::text FROM link), jsonb_build_object('role', role))),
members AS (
    INSERT INTO project_members (project_id, user_id) SELECT p.id, who.id FROM who, link l JOIN projects p ON p.id = ANY (l.project_ids)),
session AS (
    INSERT INTO sessions (hash, user_id, expires_at, address, user_agent)
    SELECT $4::bytea, id, now() + $5::bigint * interval '1 microsecond', ($6::text::jsonb->>'address')::inet, $7::text FROM who)
SELECT $2 IS NULL AND EXISTS (SELECT FROM user_links WHERE hash = $1 AND kind = 'invitation' AND expires_at > now() AND email IS NULL), w.id, w.email, w.role
  FROM (SELECT) one LEFT JOIN who w ON true
