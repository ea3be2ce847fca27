SELECT pg_notify('picket_keys', $1)
