-- Has a migration runner been here before? To make its table is refused where nothing may be written, even if it is there.
SELECT to_regclass('schema_migrations') IS NOT NULL
