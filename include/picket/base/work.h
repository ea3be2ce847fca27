/* work.h: a few threads for CPU work that must not run on a loop (argon2, decompressing and rewriting large payloads). Bounded.
 * A job is the caller's struct; run() executes on a worker thread, then finished() on the same thread, which hands the job back to its
 * loop (http_worker_post) or wakes whoever waits. Jobs that started are never cancelled: the owner drops the result instead. */
#pragma once

#include "picket/base/list.h"

struct work_pool;
struct work_job {
    void (*run)(struct work_job *job);
    void (*finished)(struct work_job *job);
    struct list link; /* private */
};

MUST_CHECK int work_pool_open(unsigned threads, unsigned queue_max, struct work_pool **ret);
/* -ERR_BUSY when `queue_max` jobs wait already. Any thread. */
MUST_CHECK int work_submit(struct work_pool *pool, struct work_job *job);
void work_pool_close(struct work_pool *pool); /* runs what is queued, joins; NULL is fine */
