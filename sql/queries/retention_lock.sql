-- One retention at a time on a database, whoever runs it. The session holds the lock.
SELECT pg_try_advisory_lock(hashtext('picket.retention.run'))
