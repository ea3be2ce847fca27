/* catch_up.h: brings the schema up to date behind a server that was started while its database was away. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include <uv.h>

#include "picket/db/migrate.h"

struct catch_up { /* zeroed: never started */
    pthread_t thread;
    bool running;
    atomic_bool stop;
    const char *conninfo; /* borrowed */
    void (*progress)(int number, const char *name);
    int result;
    struct db_migration_report report;
    uv_async_t home;
    void (*done)(struct catch_up *c); /* once, on the loop; `result` and `report` are set: 0, or a schema that needs a newer release */
};
MUST_CHECK int catch_up_start(struct catch_up *c, uv_loop_t *loop);
/* done() will not run any more. Waits for the attempt under way, at most `patience_ms`: false when that was not enough. A handle is left for
 * the loop to close. Fine on one that was never started or is done. */
bool catch_up_stop(struct catch_up *c, unsigned patience_ms);
