-- One migration runner at a time, on any number of machines. 'picket' as a number.
SELECT pg_advisory_lock(123621438911860)
