SELECT coalesce(max(number), 0)::text FROM schema_migrations
