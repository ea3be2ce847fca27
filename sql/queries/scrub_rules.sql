-- What those of the projects $1 want that do not want what everybody gets (event/scrub.h).
SELECT id, scrubbing FROM projects WHERE id = ANY ($1::int[]) AND scrubbing <> '{}'
