/* retain.h: retention in the server: a run soon after the start and then by the clock, on the main thread's loop, over a connection of its own, which
 * is made then. Behind it files of attachments that no row names are swept: when a day has passed since, and when it dropped some. */
#pragma once

#include "picket/digest/retention.h"
#include "picket/digest/sweep.h"
#include "picket/spool/spool.h"

struct retain_config {
    unsigned days, per_issue, letter_days;
    uint64_t every_ms;   /* the first run is a minute after the start, or sooner */
    struct spool *spool; /* these two outlive it */
    struct blob_store *blobs;
};
struct retain { /* zeroed: never opened */
    uv_loop_t *loop;
    uv_timer_t timer;
    struct db_config pool;
    struct db *db;         /* from the first run on */
    struct retention *run; /* under way */
    struct sweep *sweep;   /* likewise, after it */
    bool ending;           /* one of them is over and being closed */
    bool sweeps;           /* when that one is closed, files are swept */
    int64_t swept_mono_us; /* 0: never */
    struct retain_config config;
    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;
};
/* `db` is copied, its texts are borrowed; its connections and query_ms are chosen here. */
void retain_open(struct retain *r, uv_loop_t *loop, const struct db_config *db, const struct retain_config *config);
/* A day under way is left as it was. closed() runs on the loop, also for one that was never opened (then at once). */
void retain_close(struct retain *r, void (*closed)(void *arg), void *arg);
