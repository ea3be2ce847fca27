-- Which of these items cannot be stored: place (from 1), SQLSTATE, constraint.
SELECT place, state, constraint_name FROM digest_reports_probe($1, $2, $3, $4, $5, $6, $7, $8)
