-- Which of the records $1 have a row: what else lies in the spill directory under their names was left by a cut.
SELECT record_id FROM dead_letters WHERE record_id = ANY ($1::uuid[])
