/* cold.h: keys that the cache does not know and the database is asked for, of one HTTP worker: each once however many requests wait for it, few at
 * once, and not often. Private to ingest; the worker's thread.
 *
 * A cache that was filled knows every key but one that was made a moment ago, so nearly all that is asked for is invented. Without a bound whoever
 * invents a key per request has a statement per request, in the pool that the dashboards wait for. Beyond the bound the answer is 503 at once: who
 * really has a new key comes again, and by then the cache has heard of it. */
#pragma once

#include "picket/auth/keys.h"

enum {
    COLD_MAX = 2,            /* keys at once: of the pool's connections, which are some more than that; … */
    COLD_UNFILLED_MAX = 256, /* … before the cache is filled, at a start, when every key is cold */
    COLD_PER_S = 50,         /* keys; more only before the cache is filled */
    COLD_BURST = 50,
};

struct cold {
    struct key_cache *keys;
    struct list looks;
    unsigned n_looks;
    unsigned tokens; /* of so many more keys … */
    int64_t told_us; /* … as of then, monotonic; 0: never asked */
};
void cold_init(struct cold *c, struct key_cache *keys);
/* True: one key more may be asked for. */
MUST_CHECK bool cold_may(struct cold *c, int64_t now_us);

/* A request that waits for a key. The caller's, zeroed before its first use. */
struct cold_wait {
    struct list link;
    struct cold_look *look; /* private; NULL: nothing under way */
    uint64_t project_id;
    /* Exactly once, later, on the loop: 0 with KEY_OK and what is known, or KEY_REJECTED; or the database's error. */
    void (*done)(struct cold_wait *w, int r, enum key_verdict verdict, const struct key_info *info);
};
/* After KEY_MISS. -ERR_KEY_BUSY: too many others; done() will not run. */
MUST_CHECK int cold_ask(struct cold *c, struct cold_wait *w, struct db *db, const struct id128 *key, int64_t now_us);
void cold_cancel(struct cold_wait *w); /* done() will not run any more. Idempotent; fine after done() */
