SELECT value FROM schema_info WHERE key = 'min_release'
