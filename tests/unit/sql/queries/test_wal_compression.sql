SELECT current_setting('wal_compression')
