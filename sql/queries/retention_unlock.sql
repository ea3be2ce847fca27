SELECT pg_advisory_unlock(hashtext('picket.retention.run'))
