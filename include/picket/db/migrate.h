/* migrate.h: brings the schema up to date: sql/migrations/NNNN_name.sql in order, each in a transaction of its own, all under one
 * advisory lock, so that several Pickets may start at once. */
#pragma once

#include "picket/db/db.h"

struct db_migration_report {
    int from, to;    /* schema version before and after */
    int min_release; /* from schema_info: the lowest migration number a binary must know to use this schema */
    int failed;      /* number of the migration that failed, 0 when none */
    char sqlstate[DB_SQLSTATE];
    char message[256]; /* the server's own words, for the operator */
};
struct db_progress {                                                        /* embedded by who wants to know */
    void (*migrating)(struct db_progress *p, int number, const char *name); /* before each that is run */
};
/* Runs the loop until done. `progress` may be NULL. A schema newer than the binary is fine unless it says otherwise through min_release: then
 * -ERR_DB_FAILED with a message that says so. Waits up to wait_ms, and a second at least, for the database to answer (else -ERR_DB_AWAY) and for
 * others to be done (else -ERR_DB_BUSY, and the message names who holds the lock); once it has the lock, it takes the time that it needs.
 * -EINVAL: conninfo cannot be read. */
MUST_CHECK int db_migrate(uv_loop_t *loop, const char *conninfo, unsigned wait_ms, struct db_progress *progress,
                          struct db_migration_report *ret);
/* The same for a pool that is to be opened with this configuration: where its application is set, its session becomes the connection that was used,
 * with the pool's name and statement_timeout; NULL when that failed, which is nothing to the pool. */
MUST_CHECK int db_migrate_for(uv_loop_t *loop, struct db_config *db, unsigned wait_ms, struct db_progress *progress,
                              struct db_migration_report *ret);
int db_schema_known(void); /* highest migration number in this binary */
