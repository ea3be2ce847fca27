/* upkeep.c: what the digest's worker 0 does besides: it asks what an earlier run committed, before anybody claims; every hour it makes the partitions of the
 * next days; each minute it looks for events of days without one. Partitions first: a row that comes before its day's partition goes to the default one, and
 * is moved from there later. */
#include <inttypes.h>

#include "picket/base/error.h"
#include "picket/base/log.h"
#include "worker.h"

enum {
    AGAIN_MS = 1000, /* the database is away, and nobody claims before it answers */
    UPKEEP_MS = 3600 * 1000,
    UPKEEP_RETRY_MS = 60 * 1000,
    STRAYS_MS = 60 * 1000,       /* few events at most come in that time, and few are moved at once */
    STRAYS_AGAIN_MS = 10 * 1000, /* there are more, or a reader has the table */
};

static void ask_ranges(uv_timer_t *timer);

static void on_upkeep(uv_timer_t *timer);

/* Columns: days, events, whether to ask again. */
static void on_healed(struct db_query *q, int r, const struct db_rows *rows)
{
    struct worker *w = container_of(q, struct worker, upkeep_query);
    w->upkeep_running = false;
    if (r < 0)
        log_line(q->sqlstate[0] ? LOG_WARN : LOG_DEBUG, "events of days without a partition could not be moved and will be tried again",
                 "error=%s sqlstate=%s", err_name(r), q->sqlstate[0] ? q->sqlstate : "-");
    else if (db_i64(rows, 0, 0) > 0)
        log_line(LOG_INFO, "events of days without a partition have one now", "days=%" PRId64 " events=%" PRId64, db_i64(rows, 0, 0),
                 db_i64(rows, 0, 1));
    if (!w->stopping)
        uv_timer_start(&w->upkeep, on_upkeep, r == 0 && db_bool(rows, 0, 2) ? STRAYS_AGAIN_MS : STRAYS_MS, 0);
}

static void heal_strays(struct worker *w)
{
    w->upkeep_running = true;
    db_query_init(&w->upkeep_query, STMT_STRAYS_HEAL, on_healed);
    db_submit(w->db, &w->upkeep_query);
}

static void on_upkept(struct db_query *q, int r, const struct db_rows *rows)
{
    (void)rows;
    struct worker *w = container_of(q, struct worker, upkeep_query);
    struct digest *d = w->digest;
    w->upkeep_running = false;
    if (r < 0)
        log_line(LOG_WARN, "upkeep failed and will be tried again", "error=%s sqlstate=%s", err_name(r),
                 q->sqlstate[0] ? q->sqlstate : "-");
    if (w->stopping)
        return;
    bool ready = atomic_load(&d->ready);
    if (r < 0) {
        uv_timer_start(&w->upkeep, on_upkeep, ready ? UPKEEP_RETRY_MS : AGAIN_MS, 0);
        return;
    }
    w->upkept_ms = uv_now(&w->loop);
    if (!ready)
        uv_timer_start(&w->backoff, ask_ranges, 0, 0);
    heal_strays(w);
}

static void on_upkeep(uv_timer_t *timer)
{
    struct worker *w = container_of(timer, struct worker, upkeep);
    if (w->stopping)
        return;
    if (w->upkept_ms && uv_now(&w->loop) - w->upkept_ms < UPKEEP_MS) {
        heal_strays(w);
        return;
    }
    w->upkeep_running = true;
    db_query_init(&w->upkeep_query, STMT_UPKEEP, on_upkept);
    db_bind_time(&w->upkeep_query, spool_begun_us(w->digest->config.spool));
    db_bind_i64(&w->upkeep_query, w->digest->config.audit_days);
    db_submit(w->db, &w->upkeep_query);
}

static void on_ranges(struct db_query *q, int r, const struct db_rows *rows);

static void ask_ranges(uv_timer_t *timer)
{
    struct worker *w = container_of(timer, struct worker, backoff);
    struct spool_stats stats;
    spool_stats(w->digest->config.spool, &stats);
    db_query_init(&w->query, STMT_DIGEST_RANGES, on_ranges);
    db_bind_id(&w->query, &w->digest->node);
    db_bind_i64(&w->query, (int64_t)stats.cursor.segment);
    db_submit(w->db, &w->query);
}

static void on_ranges(struct db_query *q, int r, const struct db_rows *rows)
{
    struct worker *w = container_of(q, struct worker, query);
    struct digest *d = w->digest;
    if (r < 0) {
        log_line(LOG_WARN, "digest waits for the database", "error=%s sqlstate=%s", err_name(r), q->sqlstate[0] ? q->sqlstate : "-");
        if (!w->stopping)
            uv_timer_start(&w->backoff, ask_ranges, AGAIN_MS, 0);
        return;
    }
    for (int i = 0; i < db_count(rows); i++) {
        struct spool_range range = {.segment = (uint64_t)db_i64(rows, i, 0),
                                    .from = (uint64_t)db_i64(rows, i, 1),
                                    .to = (uint64_t)db_i64(rows, i, 2)};
        spool_skip(d->config.spool, &range);
    }
    atomic_store(&d->ready, true);
    for (unsigned i = 0; i < d->n_workers; i++)
        uv_async_send(&d->workers[i].wake);
}

void upkeep_start(struct worker *w)
{
    uv_timer_start(&w->upkeep, on_upkeep, 0, 0);
}
