INSERT INTO schema_migrations (number, name) VALUES (9000, 'future')
