-- What the server noted at its start. No row: none was started on this database yet.
SELECT value FROM schema_info WHERE key = 'public_url'
