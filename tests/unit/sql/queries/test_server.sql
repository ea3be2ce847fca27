SELECT current_setting('fsync'), current_setting('data_checksums'), current_setting('server_encoding'), current_setting('listen_addresses'),
       (SELECT datcollate::text FROM pg_database WHERE datname = current_database()), current_setting('log_error_verbosity'),
       pg_size_bytes(current_setting('shared_buffers')) >> 20, pg_size_bytes(current_setting('max_wal_size')) >> 20
