/* watch.h: an eye on the database while the server runs: a private PostgreSQL that ended is started again, and a database that is away is
 * mentioned in the log for as long as it is. Main thread; what blocks has a thread of its own. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "picket/db/cluster.h"
#include "picket/db/db.h"
#include "picket/spool/spool.h"

enum watch_server {
    WATCH_UP,       /* there is a process, which may not answer yet; or there is nothing to watch */
    WATCH_DOWN,     /* until the pause is over */
    WATCH_STARTING, /* on a thread */
};

struct watch {                  /* zeroed: never started */
    struct db_cluster *cluster; /* borrowed; NULL: DATABASE_URL */
    struct db *db;              /* borrowed: away is when it is not connected */
    struct spool *spool;        /* borrowed */
    bool running;               /* private from here */
    uv_timer_t timer;
    uv_async_t home;
    pthread_t thread; /* of the restart under way */
    _Atomic enum watch_server server;
    int result;
    const char *why;
    int64_t try_at_us, pause_us, up_since_us;
    int64_t away_since_us, tell_at_us; /* 0: it is there */
};
void watch_start(struct watch *w, uv_loop_t *loop);
/* Any thread: what keeps the server from being ready, a static text; NULL: nothing that is seen here. */
const char *watch_reason(const struct watch *w);
/* Waits for a restart under way, which ends soon. Handles are left for the loop to close. Fine on one that was never started. */
void watch_stop(struct watch *w);
