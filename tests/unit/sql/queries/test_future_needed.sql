UPDATE schema_info SET value = '9000' WHERE key = 'min_release'
