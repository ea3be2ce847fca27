-- Events ($2, of project $1) that belong to requests ($3), with their sizes ($4).
INSERT INTO erasure_rows (project_id, id, erasure_id, bytes)
SELECT $1::int, r.id, r.erasure_id, r.bytes FROM unnest($2::uuid[], $3::bigint[], $4::bigint[]) r(id, erasure_id, bytes) ORDER BY r.id
    ON CONFLICT DO NOTHING
