-- A key of project $1: public key $2, label $3, quotas $4 (null: none), by $5; unless there are $6 already, or about as many when several are made at once. Columns as
-- key_page. No row: no such project; one row of nulls: there are. The lock: a project that is being deleted must not get a key behind its back.
WITH project AS (
    SELECT p.id, (SELECT count(*) FROM project_keys k WHERE k.project_id = p.id) < $6::bigint AS has_room FROM projects p WHERE p.id = $1::int FOR KEY SHARE OF p),
made AS (
    INSERT INTO project_keys (project_id, public_key, label, quotas)
    SELECT id, $2::uuid, $3::text, jsonb_strip_nulls(coalesce($4::text::jsonb, '{}')) FROM project WHERE has_room
    RETURNING *, audit_note($5::text::jsonb, 'key.create', project_id, id::text, jsonb_build_object('label', label, 'quotas', quotas)))
SELECT m.id, m.public_key, m.is_active, m.created_at, m.quotas, m.label
  FROM project LEFT JOIN made m ON true
