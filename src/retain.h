/* retain.h: retention in the server: a run soon after the start and every hour, on the main thread's loop, over a connection of its own. */
#pragma once

#include "picket/digest/retention.h"

struct retain { /* zeroed: never opened */
    uv_timer_t timer;
    struct db *db;
    struct retention *run; /* under way */
    bool ending;           /* it is over and being closed */
    unsigned days, per_issue;
    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;
};
/* `db` is copied; its connections and query_ms are chosen here. */
MUST_CHECK int retain_open(struct retain *r, uv_loop_t *loop, const struct db_config *db, unsigned days, unsigned per_issue);
/* A day under way is left as it was. closed() runs on the loop, also for one that was never opened (then at once). */
void retain_close(struct retain *r, void (*closed)(void *arg), void *arg);
