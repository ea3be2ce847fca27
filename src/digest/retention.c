/* retention.c: drives the steps of sql/migrations' retention, one statement at a time:
 *
 *   lock → erasures (erasure.c) → attachments* → due days → for each: begin → (quiet?)* → preview, or copy → (swap)* → day() …
 *        → attachments of dropped events* → tidy*, or its preview → unlock → done()
 *
 * What is decided is decided in SQL; here is only the order, the patience and the account. A swap waits LOCK_MS for the one lock that others feel,
 * and is tried again for as long as SWAP_TRIES allows. Whoever has the table longer has it for every day: the run's days end there, and the
 * next run goes on. Another failure of one day (disk full) costs that day; what may have cost the connection ends the run, because the lock is
 * gone with it. */
#include "picket/digest/retention.h"

#include <errno.h>

#include "erasure.h"
#include "picket/base/error.h"

enum {
    LOCK_MS = 200,
    SWAP_TRIES = 30,
    SWAP_PAUSE_MS = 500,
    QUIET_TRIES = 600,
    QUIET_PAUSE_MS = 100,
    LOCKED_PAUSE_MS = 100,
    TIDY_ROWS = 5000,
    DAYS_MAX = 4096,
};

struct due {
    char day[11];
    int16_t stage;
    bool drops; /* nobody keeps it */
};

struct retention {
    struct retention_config config;
    struct retention_events events;
    struct db_query query;
    struct erasure *erasure;
    uv_timer_t timer;
    void (*next)(struct retention *r); /* what the timer goes on with */
    struct due *due;                   /* heap */
    unsigned n_due, at;
    struct retention_day current;
    struct retention_total total;
    int64_t horizon, horizon_us;
    unsigned tries, waited_ms;
    unsigned tidying; /* of tidyings */
    bool locked;
    int result;
    char sqlstate[DB_SQLSTATE];
    void (*closed)(void *arg);
    void *closed_arg;
};

static void begin_day(struct retention *r);
static void drop_attachments(struct retention *r);
static void drop_left(struct retention *r);
static void tidy(struct retention *r);
static void swap(struct retention *r);
static void ask_quiet(struct retention *r);

static void on_timer(uv_timer_t *timer)
{
    struct retention *r = container_of(timer, struct retention, timer);
    r->next(r);
}

static void later(struct retention *r, unsigned ms, void (*next)(struct retention *r))
{
    r->next = next;
    uv_timer_start(&r->timer, on_timer, ms, 0);
}

static void keep_sqlstate(char dst[DB_SQLSTATE], const char *state)
{
    struct str s = str_take(str_from(state), DB_SQLSTATE - 1);
    if (s.n)
        memcpy(dst, s.p, s.n);
    dst[s.n] = '\0';
}

/* ---- the end */

static void tell_done(struct retention *r)
{
    r->events.done(r->events.arg, r->result, r->sqlstate, &r->total);
}

static void on_unlocked(struct db_query *q, int result, const struct db_rows *rows)
{
    (void)result, (void)rows; /* the lock ends with the session anyway */
    tell_done(container_of(q, struct retention, query));
}

static void finish(struct retention *r, int result, const char *sqlstate)
{
    r->result = result;
    keep_sqlstate(r->sqlstate, sqlstate);
    if (!r->locked) {
        tell_done(r);
        return;
    }
    r->locked = false;
    db_query_init(&r->query, STMT_RETENTION_UNLOCK, on_unlocked);
    db_submit(r->config.db, &r->query);
}

/* The connection may be gone, and the lock with it. */
static bool is_fatal(int result, struct str sqlstate)
{
    static const char *const in_place[] = {"40", "53", "55P03"}; /* of those that pass: deadlock, no room, no lock */
    for (size_t i = 0; i < ARRAY_LEN(in_place); i++)
        if (str_starts(sqlstate, str_from(in_place[i])))
            return false;
    return result == -ERR_DB_AWAY || result == -ERR_DB_TIMEOUT || result == -ERR_DB_TRANSIENT;
}

static bool is_held(int result, struct str sqlstate)
{
    return result == -ERR_DB_BUSY || str_eq(sqlstate, STR("55P03"));
}

/* ---- one day */

static void end_day(struct retention *r, int result, const char *sqlstate)
{
    struct retention_day *d = &r->current;
    d->result = result;
    keep_sqlstate(d->sqlstate, sqlstate);
    r->total.days++;
    if (result < 0) {
        r->total.failed_days++;
    } else {
        r->total.dropped_rows += d->dropped_rows;
        r->total.dropped_bytes += d->dropped_bytes;
    }
    if (r->events.day)
        r->events.day(r->events.arg, d, &r->total);
    r->at++;
    if (result < 0 && is_fatal(result, str_from(d->sqlstate))) {
        finish(r, result, d->sqlstate);
        return;
    }
    if (result < 0 && is_held(result, str_from(d->sqlstate))) {
        r->total.failed_days += r->n_due - r->at;
        r->at = r->n_due;
    }
    begin_day(r);
}

static void on_swapped(struct db_query *q, int result, const struct db_rows *rows)
{
    (void)rows;
    struct retention *r = container_of(q, struct retention, query);
    if (result < 0 && str_eq(str_from(q->sqlstate), STR("55P03")) && ++r->tries < SWAP_TRIES)
        later(r, SWAP_PAUSE_MS, swap);
    else
        end_day(r, result, q->sqlstate);
}

static void swap(struct retention *r)
{
    const struct due *d = &r->due[r->at];
    db_query_init(&r->query, STMT_RETENTION_SWAP, on_swapped);
    db_bind_text(&r->query, str_from(d->day));
    db_bind_i16(&r->query, d->stage);
    db_bind_i64(&r->query, r->horizon);
    db_bind_i32(&r->query, LOCK_MS);
    db_submit(r->config.db, &r->query);
}

static void on_judged(struct db_query *q, int result, const struct db_rows *rows)
{
    struct retention *r = container_of(q, struct retention, query);
    if (result < 0) {
        end_day(r, result, q->sqlstate);
        return;
    }
    struct retention_day *d = &r->current;
    d->rows = db_i64(rows, 0, 0);
    d->bytes = db_i64(rows, 0, 1);
    d->dropped_rows = db_i64(rows, 0, 2);
    d->dropped_bytes = db_i64(rows, 0, 3);
    r->tries = 0;
    if (r->config.dry_run) {
        r->total.attachments += db_i64(rows, 0, 4);
        r->total.attachment_bytes += db_i64(rows, 0, 5);
    }
    if (r->config.dry_run || !db_bool(rows, 0, 4))
        end_day(r, 0, "");
    else
        swap(r);
}

static void judge(struct retention *r)
{
    const struct due *d = &r->due[r->at];
    db_query_init(&r->query, r->config.dry_run ? STMT_RETENTION_PREVIEW : STMT_RETENTION_COPY, on_judged);
    db_bind_text(&r->query, str_from(d->day));
    if (!r->config.dry_run) {
        db_bind_i16(&r->query, d->stage);
        db_bind_bool(&r->query, d->drops);
    }
    db_bind_i64(&r->query, r->horizon);
    db_bind_time(&r->query, r->config.now_us);
    db_bind_i32(&r->query, (int32_t)r->config.days);
    db_bind_i32(&r->query, (int32_t)r->config.per_issue);
    db_submit(r->config.db, &r->query);
}

static void on_quiet(struct db_query *q, int result, const struct db_rows *rows)
{
    struct retention *r = container_of(q, struct retention, query);
    if (result < 0)
        end_day(r, result, q->sqlstate);
    else if (db_bool(rows, 0, 0))
        judge(r);
    else if (++r->tries < QUIET_TRIES)
        later(r, QUIET_PAUSE_MS, ask_quiet);
    else
        end_day(r, -ERR_DB_BUSY, "");
}

static void ask_quiet(struct retention *r)
{
    db_query_init(&r->query, STMT_RETENTION_QUIET, on_quiet);
    db_bind_time(&r->query, r->horizon_us);
    db_submit(r->config.db, &r->query);
}

static void on_begun(struct db_query *q, int result, const struct db_rows *rows)
{
    struct retention *r = container_of(q, struct retention, query);
    if (result < 0) {
        end_day(r, result, q->sqlstate);
        return;
    }
    r->horizon = db_i64(rows, 0, 0);
    r->horizon_us = db_time(rows, 0, 1);
    r->tries = 0;
    ask_quiet(r);
}

static void begin_day(struct retention *r)
{
    if (r->at == r->n_due) {
        drop_left(r);
        return;
    }
    r->current = (struct retention_day){0};
    memcpy(r->current.day, r->due[r->at].day, sizeof r->current.day);
    db_query_init(&r->query, STMT_RETENTION_BEGIN, on_begun);
    db_submit(r->config.db, &r->query);
}

/* ---- behind the days */

const char *retention_kind_name(enum retention_kind kind)
{
    static const char *const names[RETENTION_KINDS] = {
        [RETENTION_FEEDBACK] = "feedback", [RETENTION_CHECK_INS] = "check_ins",       [RETENTION_OUTCOMES] = "outcomes",
        [RETENTION_SESSIONS] = "sessions", [RETENTION_DEAD_LETTERS] = "dead_letters", [RETENTION_OTHERS] = "others",
        [RETENTION_ERASED] = "erased",
    };
    return names[kind];
}

/* Each is called until it finds nothing any more. They are statements of their own, because three of them lock counters: what else they held then would be
 * waited for by batches that have the counters. Their columns: how many went, of `n` kinds from `first` on. */
static const struct tidying {
    enum db_stmt stmt;
    enum retention_kind first;
    int n;
} tidyings[] =
    {
        {STMT_ERASURE_TIDY, RETENTION_ERASED, 1},
        {STMT_RETENTION_TIDY_PROJECTS, RETENTION_OTHERS, 1}, /* leaves notes for the next */
        {STMT_RETENTION_TIDY, RETENTION_FEEDBACK, 5},
        {STMT_RETENTION_TIDY_STRAYS, RETENTION_OTHERS, 1},
        {STMT_RETENTION_TIDY_LETTERS, RETENTION_DEAD_LETTERS, 1},
},
  preview = {STMT_RETENTION_TIDY_PREVIEW, RETENTION_FEEDBACK, 6};

/* Returns how many they are. */
static int64_t account(struct retention *r, const struct tidying *t, const struct db_rows *rows)
{
    int64_t all = 0;
    for (int i = 0; i < t->n; i++) {
        r->total.tidied[(int)t->first + i] += db_i64(rows, 0, i);
        all += db_i64(rows, 0, i);
    }
    return all;
}

static void on_previewed(struct db_query *q, int result, const struct db_rows *rows)
{
    struct retention *r = container_of(q, struct retention, query);
    if (result == 0)
        account(r, &preview, rows);
    finish(r, result, q->sqlstate);
}

static void on_tidied(struct db_query *q, int result, const struct db_rows *rows)
{
    struct retention *r = container_of(q, struct retention, query);
    if (result < 0) {
        finish(r, result, q->sqlstate);
        return;
    }
    r->tidying += account(r, &tidyings[r->tidying], rows) == 0;
    tidy(r);
}

static void ask_preview(struct retention *r)
{
    db_query_init(&r->query, preview.stmt, on_previewed);
    db_bind_time(&r->query, r->config.now_us);
    db_bind_i32(&r->query, (int32_t)r->config.days);
    db_bind_i32(&r->query, (int32_t)r->config.letter_days);
    db_submit(r->config.db, &r->query);
}

static void tidy(struct retention *r)
{
    if (r->config.dry_run) {
        ask_preview(r);
        return;
    }
    if (r->tidying == ARRAY_LEN(tidyings)) {
        finish(r, 0, "");
        return;
    }
    enum db_stmt stmt = tidyings[r->tidying].stmt;
    db_query_init(&r->query, stmt, on_tidied);
    if (stmt != STMT_RETENTION_TIDY_PROJECTS)
        db_bind_time(&r->query, r->config.now_us);
    if (stmt != STMT_RETENTION_TIDY_PROJECTS && stmt != STMT_ERASURE_TIDY)
        db_bind_i32(&r->query, (int32_t)(stmt == STMT_RETENTION_TIDY_LETTERS ? r->config.letter_days : r->config.days));
    db_bind_i32(&r->query, TIDY_ROWS);
    if (stmt == STMT_ERASURE_TIDY)
        db_bind_bool(&r->query, r->total.erased.result == 0);
    db_submit(r->config.db, &r->query);
}

/* Columns: events that were looked at, rows, bytes. */
static void on_left(struct db_query *q, int result, const struct db_rows *rows)
{
    struct retention *r = container_of(q, struct retention, query);
    if (result < 0) {
        finish(r, result, q->sqlstate);
        return;
    }
    r->total.attachments += db_i64(rows, 0, 1);
    r->total.attachment_bytes += db_i64(rows, 0, 2);
    if (db_i64(rows, 0, 0) > 0)
        drop_left(r);
    else
        tidy(r);
}

/* Attachments of events that are dropped; a dry run counts them day by day. */
static void drop_left(struct retention *r)
{
    if (r->config.dry_run) {
        tidy(r);
        return;
    }
    db_query_init(&r->query, STMT_RETENTION_ATTACHMENTS_LEFT, on_left);
    db_bind_time(&r->query, r->config.now_us);
    db_bind_i32(&r->query, TIDY_ROWS);
    db_submit(r->config.db, &r->query);
}

/* ---- the run */

static void on_due(struct db_query *q, int result, const struct db_rows *rows)
{
    struct retention *r = container_of(q, struct retention, query);
    if (result < 0) {
        finish(r, result, q->sqlstate);
        return;
    }
    int n = db_count(rows) < DAYS_MAX ? db_count(rows) : DAYS_MAX;
    r->due = calloc((size_t)n + 1, sizeof *r->due); /* + 1: never asks for nothing */
    if (!r->due)
        abort();
    for (int i = 0; i < n; i++) {
        struct str day = db_text(rows, i, 0);
        assert(day.n == sizeof r->due[i].day - 1);
        memcpy(r->due[i].day, day.p, day.n);
        r->due[i].stage = (int16_t)db_i64(rows, i, 1);
        r->due[i].drops = db_bool(rows, i, 2);
    }
    r->n_due = r->total.days_due = (unsigned)n;
    begin_day(r);
}

static void ask_due(struct retention *r)
{
    db_query_init(&r->query, STMT_RETENTION_DUE, on_due);
    db_bind_time(&r->query, r->config.now_us);
    db_bind_i32(&r->query, (int32_t)r->config.days);
    db_bind_i32(&r->query, (int32_t)r->config.per_issue);
    db_submit(r->config.db, &r->query);
}

static void on_attachments(struct db_query *q, int result, const struct db_rows *rows)
{
    struct retention *r = container_of(q, struct retention, query);
    if (result < 0) {
        finish(r, result, q->sqlstate);
        return;
    }
    int64_t gone = db_i64(rows, 0, 0);
    r->total.attachments += gone;
    r->total.attachment_bytes += db_i64(rows, 0, 1);
    if (gone > 0 && !r->config.dry_run)
        drop_attachments(r);
    else
        ask_due(r);
}

static void drop_attachments(struct retention *r)
{
    db_query_init(&r->query, r->config.dry_run ? STMT_RETENTION_ATTACHMENTS_PREVIEW : STMT_RETENTION_ATTACHMENTS, on_attachments);
    db_bind_time(&r->query, r->config.now_us);
    db_bind_i32(&r->query, (int32_t)r->config.days);
    if (!r->config.dry_run)
        db_bind_i32(&r->query, TIDY_ROWS);
    db_submit(r->config.db, &r->query);
}

static void on_erased(void *arg, int result, const char *sqlstate, const struct retention_erased *total)
{
    struct retention *r = arg;
    r->total.erased = *total;
    r->total.erased.result = result;
    if (r->config.only.project || (result < 0 && is_fatal(result, str_from(sqlstate)))) {
        finish(r, result, sqlstate);
        return;
    }
    drop_attachments(r);
}

static void ask_lock(struct retention *r);

static void on_locked(struct db_query *q, int result, const struct db_rows *rows)
{
    struct retention *r = container_of(q, struct retention, query);
    if (result < 0) {
        finish(r, result, q->sqlstate);
    } else if (db_bool(rows, 0, 0)) {
        r->locked = true;
        r->erasure = erasure_new(&r->config, on_erased, r);
    } else if (r->waited_ms < r->config.wait_ms) {
        r->waited_ms += LOCKED_PAUSE_MS;
        later(r, LOCKED_PAUSE_MS, ask_lock);
    } else {
        finish(r, -ERR_DB_BUSY, "");
    }
}

static void ask_lock(struct retention *r)
{
    db_query_init(&r->query, STMT_RETENTION_LOCK, on_locked);
    db_submit(r->config.db, &r->query);
}

int retention_open(const struct retention_config *config, const struct retention_events *events, struct retention **ret)
{
    struct retention *r = calloc(1, sizeof *r);
    if (!r)
        return -ENOMEM;
    r->config = *config;
    r->events = *events;
    uv_timer_init(db_loop(config->db), &r->timer);
    ask_lock(r);
    *ret = r;
    return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct retention *r = container_of((uv_timer_t *)handle, struct retention, timer);
    void (*closed)(void *) = r->closed;
    void *arg = r->closed_arg;
    free(r->due);
    free(r);
    if (closed)
        closed(arg);
}

static void on_erasure_closed(void *arg)
{
    struct retention *r = arg;
    uv_close((uv_handle_t *)&r->timer, on_timer_closed);
}

void retention_close(struct retention *r, void (*closed)(void *arg), void *arg)
{
    r->closed = closed;
    r->closed_arg = arg;
    db_cancel(&r->query);
    erasure_close(TAKE_PTR(r->erasure), on_erasure_closed, r);
}
