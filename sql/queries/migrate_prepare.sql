-- The one table that the migration runner needs before the first migration.
CREATE TABLE IF NOT EXISTS schema_migrations (
    number     int PRIMARY KEY,
    name       text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
