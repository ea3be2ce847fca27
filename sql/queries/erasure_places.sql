SELECT project_id, place, above FROM erasure_places($1::int[], $2::bigint[], $3::bigint)
