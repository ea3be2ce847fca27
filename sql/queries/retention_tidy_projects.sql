-- Some rows of a deleted project: how many went (0035).
SELECT projects_tidy($1::int)
