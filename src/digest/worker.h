/* worker.h: what the files of the digest's workers share (digest.c, rest.c). Private to digest; a worker belongs to its thread. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "batch.h"
#include "counts.h"
#include "picket/digest/digest.h"
#include "rollup.h"

enum { SLICES_MAX = 40 }; /* halving 2^32 records needs 33 */

struct slice {
    unsigned from, to;
};

/* What a worker has in hand, as far as the others must know it. */
enum holding {
    HOLDS_NOTHING,
    HOLDS_UNREAD,  /* claims or reads a range, or failed to and will try again: its day is not known */
    HOLDS_WAITING, /* for its day's turn */
    HOLDS_TURN,    /* a batch is being stored, or pauses before it is tried again */
};

struct worker {
    struct digest *digest;
    struct digest_counts *counts; /* metric_block */
    int64_t sent_us;              /* the batch's statement */
    unsigned index;
    pthread_t thread;
    bool started;
    uv_loop_t loop;
    uv_async_t wake, stop;
    atomic_bool sleeps; /* the spool had nothing for it: who makes something durable wakes it. Otherwise it will look by itself */
    uv_timer_t linger, backoff, upkeep, grace, rest_soon;
    struct db *db;
    bool stopping, closing;

    struct batch batch;
    enum { ASK_NOTHING, ASK_LATER, ASK_RUNNING } asking; /* what the projects of a batch want that is loaded and not read */
    enum holding holding; /* this and the next three: written by the worker under day_lock, read by the others under it */
    int64_t day, oldest_us;
    struct spool_pos from;
    struct slice slices[SLICES_MAX]; /* what is left to store; the last is next */
    unsigned n_slices;
    enum {
        REST_AHEAD,   /* slices are of events */
        REST_STORED,  /* part by part: slices are of the rest */
        REST_PROBED,  /* the next part */
        REST_REFUSED, /* some of that part: dead letters are to be kept first */
    } rest;
    unsigned n_probes;
    unsigned attempts;
    bool was_away; /* the database, when it was tried last */
    uint64_t backoff_ms;
    struct db_query query;
    struct db_query upkeep_query;
    bool upkeep_running;
    struct db_query dictionary_query;
    bool dictionary_running;
    uint64_t upkept_ms;    /* by the loop's clock; 0: not yet */
    struct rollup *rollup; /* worker 0's */
};

struct digest {
    struct digest_config config;
    struct id128 node;
    struct letters *letters;  /* NULL: nobody looks after them */
    pthread_mutex_t day_lock; /* guards day, closing, the claims' times and what the workers hold */
    int64_t day;              /* whose turn it is or was last */
    bool closing;             /* no more turns: an earlier range may have been given back */
    int64_t claimed_us;       /* the last claim; monotonic, under day_lock */
    int64_t gathers_until_us; /* nothing is claimed before; the same */
    atomic_bool ready;        /* committed ranges are skipped: claiming may begin */
    unsigned n_workers, grace_ms;
    struct worker workers[];
};

/* ---- digest.c */

void worker_store_next(struct worker *w);             /* the next statement of the batch, or its end */
void worker_settle(struct worker *w);                 /* everything of the batch is stored, and its range claimed */
void worker_back_off(struct worker *w, int r);        /* after a passing failure: the same statement again, later */
void worker_halve(struct worker *w, unsigned middle); /* the next slice in two, the first half first */
bool worker_is_lasting(const struct worker *w, int r, const struct db_query *q);
bool worker_is_too_long(const struct worker *w, int r); /* a database that is too slow for it all may store a half */

/* ---- rest.c */

void rest_store(struct worker *w); /* what comes after the events and after dead letters */

/* ---- upkeep.c */

void upkeep_start(struct worker *w); /* worker 0's: claiming begins when the database has answered */
