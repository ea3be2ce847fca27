/* rollup.c: every second one statement, rollup_fold() (sql/migrations/0037_rollup.sql): it adds up the events of batches that are stored, and takes them off the
 * list of those that are not folded, in one transaction. What that keeps straight:
 *
 *   once        a batch is put on the list by the transaction that stores its events, and taken off by the one that counts them: whoever dies, and in whatever
 *               order batches are committed, each event counts once. A fold that is lost with a crash (it does not wait for the disk) is lost with its counts
 *   many        one fold runs in a database, by an advisory lock that is tried and not waited for; it locks nothing that the digest or a person waits for
 *   deleted     a fold counts what has an issue and a project when it reads. What it adds to an issue that is deleted meanwhile goes with issues_leave()
 *   dropped     what retention took before it was folded is not counted: it would have to lag by a day
 *   poisoned    a batch that cannot be folded, or not in time even with nothing beside it, is put off for ten minutes, alone; the others go on
 *   masses      the bounds on keys, values and users are kept where numbers are given (tags_intern()) and where they are counted (rollup_add())
 *
 * It gives way: while the spool's backlog is long it rests for three times as long as a fold took, and a fold that runs out of time makes the next ones small. A fold is
 * of many events, because it touches each tag of each issue once; but while it runs the digest has half of its processors, and what piles up then is to be little. */
#include "rollup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "picket/base/clock.h"
#include "picket/base/error.h"
#include "picket/base/log.h"

enum {
    FOLD_MS = 1000,
    AGAIN_MS = 50,
    BATCHES_MAX = 200,
    EVENTS_MAX = 20000,
    EVENTS_MIN = 500,
    BACKLOG_BYTES = 1 << 20, /* of the spool, some 200 events: with more it has work */
    REST_SHARE = 3,
    TIMEOUTS_MAX = 3, /* of EVENTS_MIN, one after the other */
};

struct rollup_counts {
    struct metric_counter events, batches, failures;
    struct metric_counter oldest_us; /* wall clock, when the oldest batch that is not folded was stored; 0: there is none */
    struct metric_histogram folds;   /* µs of a statement that folded something */
};

struct rollup {
    struct spool *spool;
    uv_timer_t timer;
    struct db *db;
    struct db_query query;
    struct rollup_counts *counts; /* metric_block */
    int64_t sent_us;
    int64_t events_max;
    unsigned timeouts; /* one after the other, of as few as can be */
    int told;          /* the failure that was logged last */
    bool closing;
};

static void on_timer(uv_timer_t *timer);

static void rest(struct rollup *r, unsigned ms)
{
    if (!r->closing)
        uv_timer_start(&r->timer, on_timer, ms, 0);
}

static void on_put_off(struct db_query *q, int result, const struct db_rows *rows)
{
    struct rollup *r = container_of(q, struct rollup, query);
    if (result == 0 && db_bool(rows, 0, 0))
        log_line(LOG_ERROR, "the tags and users of a batch cannot be counted in time: it is put off", "attempts=%u", r->timeouts);
    r->timeouts = 0;
    rest(r, FOLD_MS);
}

static void on_failed(struct rollup *r, int result, const struct db_query *q)
{
    if (err_fate(result) != FATE_RETRY || result == -ERR_DB_TIMEOUT)
        metric_add(&r->counts->failures, 1);
    if (result != r->told && err_fate(result) != FATE_RETRY) /* the workers say that the database is away */
        log_line(LOG_ERROR, "tags and users of issues cannot be counted and will be", "error=%s sqlstate=%s", err_name(result),
                 q->sqlstate[0] ? q->sqlstate : "-");
    r->told = result;
    if (result == -ERR_DB_TIMEOUT && r->events_max == EVENTS_MIN && ++r->timeouts == TIMEOUTS_MAX && !r->closing) {
        db_query_init(&r->query, STMT_ROLLUP_PUT_OFF, on_put_off);
        db_submit(r->db, &r->query);
        return;
    }
    if (result == -ERR_DB_TIMEOUT)
        r->events_max = r->events_max / 4 > EVENTS_MIN ? r->events_max / 4 : EVENTS_MIN;
    rest(r, FOLD_MS);
}

/* The digest comes first. */
static unsigned rest_ms(const struct rollup *r, int64_t took_us)
{
    struct spool_stats stats;
    spool_stats(r->spool, &stats);
    unsigned ms = stats.bytes > BACKLOG_BYTES ? (unsigned)(took_us * REST_SHARE / 1000) : 0;
    return ms > AGAIN_MS ? ms : AGAIN_MS;
}

/* Columns: batches, events, whether somebody else folds, since when something waits, why a batch was put off. */
static void on_folded(struct db_query *q, int result, const struct db_rows *rows)
{
    struct rollup *r = container_of(q, struct rollup, query);
    int64_t took_us = clock_mono_us() - r->sent_us;
    if (result < 0) {
        on_failed(r, result, q);
        return;
    }
    r->timeouts = 0;
    int64_t batches = db_i64(rows, 0, 0), events = db_i64(rows, 0, 1);
    bool is_left = !db_is_null(rows, 0, 3), has_failed = !db_is_null(rows, 0, 4);
    r->told = 0;
    if (has_failed) {
        metric_add(&r->counts->failures, 1);
        log_line(LOG_ERROR, "the tags and users of a batch cannot be counted: it is put off", "sqlstate=%.*s",
                 STR_ARG(str_take(db_text(rows, 0, 4), DB_SQLSTATE - 1)));
    }
    if (batches > 0) {
        metric_add(&r->counts->batches, (uint64_t)batches);
        metric_add(&r->counts->events, (uint64_t)events);
        metric_observe(&r->counts->folds, &metric_seconds, took_us);
        r->events_max = r->events_max * 2 < EVENTS_MAX ? r->events_max * 2 : EVENTS_MAX;
    }
    metric_set(&r->counts->oldest_us, is_left ? (uint64_t)db_time(rows, 0, 3) : 0);
    rest(r, batches > 0 && is_left ? rest_ms(r, took_us) : FOLD_MS);
}

static void on_timer(uv_timer_t *timer)
{
    struct rollup *r = container_of(timer, struct rollup, timer);
    r->sent_us = clock_mono_us();
    db_query_init(&r->query, STMT_ROLLUP_FOLD, on_folded);
    db_bind_i32(&r->query, BATCHES_MAX);
    db_bind_i64(&r->query, r->events_max);
    db_submit(r->db, &r->query);
}

int rollup_open(uv_loop_t *loop, const struct db_config *db, struct spool *spool, struct rollup **ret)
{
    struct db_config config = *db;
    struct rollup *r = calloc(1, sizeof *r);
    if (!r)
        return -ENOMEM;
    r->spool = spool;
    r->events_max = EVENTS_MAX;
    db_query_init(&r->query, STMT_PING, NULL);
    config.connections = 1;
    config.counts = NULL;
    config.application = "picket rollup";
    int result = db_open(loop, &config, &r->db);
    if (result < 0) {
        free(r);
        return result;
    }
    r->counts = metric_block(sizeof *r->counts);
    uv_timer_init(loop, &r->timer);
    uv_timer_start(&r->timer, on_timer, AGAIN_MS, 0);
    *ret = r;
    return 0;
}

static void on_closed(void *arg)
{
    (void)arg; /* rollup_free() is the loop's owner's */
}

/* A fold that is under way is whole or not at all. */
void rollup_close(struct rollup *r)
{
    if (!r || r->closing)
        return;
    r->closing = true;
    db_cancel(&r->query);
    uv_close((uv_handle_t *)&r->timer, NULL);
    db_close(r->db, on_closed, r);
}

void rollup_free(struct rollup *r)
{
    if (!r)
        return;
    free(r->counts);
    free(r);
}

void rollup_put_metrics(const struct rollup *r, struct metric_text *t)
{
    const struct rollup_counts *c = r->counts;
    struct metric_reading folds = {0};
    int64_t oldest_us = (int64_t)metric_read(&c->oldest_us), lag_us = oldest_us ? clock_wall_us() - oldest_us : 0;
    metric_put_one(t, "picket_rollup_events_total", METRIC_COUNTER, "Events whose tags and users were counted for their issues.",
                   metric_read(&c->events), 0);
    metric_put_one(t, "picket_rollup_batches_total", METRIC_COUNTER, "Batches of the digest that these were.", metric_read(&c->batches), 0);
    metric_put_one(t, "picket_rollup_failures_total", METRIC_COUNTER, "Statements and batches for which that failed: they are tried again.",
                   metric_read(&c->failures), 0);
    metric_put_one(t, "picket_rollup_lag_seconds", METRIC_GAUGE,
                   "How long the oldest batch waits for it, of any server on this database, as of the last look.",
                   lag_us > 0 ? (uint64_t)lag_us : 0, 6);
    metric_family(t, "picket_rollup_statement_seconds", METRIC_HISTOGRAM, "How long a statement took that counted some of them.");
    metric_collect(&c->folds, &folds);
    metric_put_histogram(t, NULL, 0, &metric_seconds, &folds);
}
