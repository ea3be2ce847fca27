-- Events of projects $1 with ids $2 are in a spool.
DELETE FROM monitor_events v USING unnest($1::int[], $2::uuid[]) s(project_id, id) WHERE v.project_id = s.project_id AND v.id = s.id
