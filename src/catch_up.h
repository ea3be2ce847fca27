/* catch_up.h: brings the schema up to date behind a server that may do without its database for a while. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include <uv.h>

#include "picket/db/migrate.h"

enum catch_up_state {
    CATCH_UP_OFF,       /* never started, or all is done */
    CATCH_UP_LOOKING,   /* its first attempt is under way */
    CATCH_UP_AWAY,      /* the database did not answer */
    CATCH_UP_LOCKED,    /* others migrate, or forgot the lock */
    CATCH_UP_REFUSED,   /* the database refused a statement */
    CATCH_UP_MIGRATING, /* one of ours runs */
    CATCH_UP_READY,     /* the schema is right; done() is about to be called */
    CATCH_UP_HOPELESS,  /* it will never be: the same */
};

struct catch_up {        /* zeroed: never started */
    struct db_config db; /* for db_migrate_for(); its conninfo is borrowed, and copied by the thread */
    /* Once, on the loop; `result` and `report` are set: 0, or what cannot be waited for. NULL: nobody is told. Who is told has not waited with opening
     * pools: the session is closed by then. */
    void (*done)(struct catch_up *c);
    int result;
    struct db_migration_report report;
    pthread_t thread; /* private from here */
    bool joinable;
    atomic_bool stop;
    _Atomic enum catch_up_state state; /* set by one thread at a time */
    struct db_progress progress;
    uv_async_t home;
    uv_timer_t limit; /* of a wait */
};
MUST_CHECK int catch_up_start(struct catch_up *c, uv_loop_t *loop);
enum catch_up_patience { CATCH_UP_ONE_TRY, CATCH_UP_ALL_THE_TIME };
/* Turns the loop until it is over (true: look at `result`, and take db.session; done() was called), or for wait_ms at most; CATCH_UP_ONE_TRY: or
 * until an attempt failed. *stopping (set by the loop's callbacks) ends it, too. */
MUST_CHECK bool catch_up_wait(struct catch_up *c, uv_loop_t *loop, unsigned wait_ms, enum catch_up_patience patience, const bool *stopping);
/* Any thread: what keeps the server from being ready, a static text; NULL: nothing. */
const char *catch_up_reason(const struct catch_up *c);
/* done() will not run any more. Waits for the attempt under way, at most `patience_ms`: false when that was not enough. A handle is left for
 * the loop to close. Fine on one that was never started or is done. */
bool catch_up_stop(struct catch_up *c, unsigned patience_ms);
