/* quota_watch.c: what the quotas have to do with the database: limits are read when somebody says that they changed (auth/keys.c hears it), and with them the
 * lists of pages that may send (origins.h), which are told the same way; counts are exchanged every TICK_MS. One statement at a time, on the main loop; see quota.c for what the others learn when.
 *
 * A tick is a row: node, time, names and quantities. Times of one node ascend, also over a restart and a clock that is put back, so "newer than the
 * last that I saw of that node" misses none, whatever the order of commits; and a tick that is sent again, because nobody knows whether it was
 * stored, is the same row. What comes back of this node at first was taken before the restart; later it is such a tick, which is counted.
 *
 * Where nothing is limited nothing is asked. */
#include <errno.h>

#include "picket/base/clock.h"
#include "picket/base/error.h"
#include "picket/base/log.h"
#include "picket/ingest/quota.h"

enum { TICK_MS = 2000, SETTLE_MS = 1000, PRIME_MS = 3000 };
#define FINE_US ((int64_t)120 * CLOCK_US_PER_S)        /* of older ticks only the hour's window still wants something */
#define KEPT_US ((int64_t)CLOCK_US_PER_HOUR + FINE_US) /* an hour, and what window.c may hold longer */

struct seen {
    struct id128 node;
    int64_t tick;
};

struct quota_watch {
    struct quota_watch_config config;
    uv_timer_t timer, patience;
    struct db_query query;
    enum { IDLE, READING, EXCHANGING } state;
    bool wanted;   /* the limits are to be read */
    bool heard;    /* ticks of before are counted: own ones may be written */
    bool failing;  /* told once */
    bool patient;  /* settling or priming goes on */
    bool has_tick; /* names and quantities wait to be stored, or are on their way */
    int64_t tick;
    struct db_array names, quantities, seen_nodes, seen_ticks;
    struct seen *seen; /* the first is this node's */
    size_t n_seen, seen_cap;
    void (*closed)(void *arg);
    void *closed_arg;
};

static void go_on(struct quota_watch *w);

static bool failed(struct quota_watch *w, int r, const struct db_query *q)
{
    w->state = IDLE;
    if (r < 0 && !w->failing)
        log_line(LOG_WARN, "quotas cannot be read or shared: known ones go on, each Picket for itself", "error=%s sqlstate=%s", err_name(r),
                 q->sqlstate[0] ? q->sqlstate : "-");
    w->failing = r < 0;
    return r < 0;
}

/* ---- limits */

/* What the environment says, unless `said` about the installation does. */
static size_t put_defaults(const struct quota_watch *w, const int64_t said[QUOTA_WINDOWS], struct quota_limit ret[2])
{
    ret[0] = (struct quota_limit){.scope = QUOTA_INSTALLATION, .category = CATEGORY_ERROR};
    ret[1] = (struct quota_limit){.scope = QUOTA_PROJECT, .category = CATEGORY_ERROR};
    for (unsigned i = 0; i < QUOTA_WINDOWS; i++) {
        ret[0].per[i] = said[i] < 0 ? w->config.installation[i] : said[i];
        ret[1].per[i] = w->config.every_project[i];
    }
    return 2;
}

static int64_t limit_at(const struct db_rows *rows, int row, int col)
{
    int64_t per = db_is_null(rows, row, col) ? QUOTA_UNSAID : db_i64(rows, row, col);
    return per < 0 ? QUOTA_UNSAID : per;
}

/* Columns: scope, id, category's name, per minute, per hour. */
static void take_limits(struct quota_watch *w, const struct db_rows *rows)
{
    int n_rows = db_count(rows);
    int64_t said[QUOTA_WINDOWS] = {QUOTA_UNSAID, QUOTA_UNSAID};
    struct quota_limit *limits = calloc((size_t)n_rows + 2, sizeof *limits);
    if (!limits)
        abort();
    size_t n = 2;
    for (int i = 0; i < n_rows; i++) {
        int category = category_of(db_text(rows, i, 2));
        int64_t scope = db_i64(rows, i, 0);
        if (category < 0 || scope < 0 || scope >= QUOTA_SCOPES)
            continue; /* of a newer release */
        struct quota_limit limit = {.scope = (enum quota_scope)scope,
                                    .id = (uint64_t)db_i64(rows, i, 1),
                                    .category = (enum category)category};
        for (unsigned k = 0; k < QUOTA_WINDOWS; k++)
            limit.per[k] = limit_at(rows, i, 3 + (int)k);
        if (limit.scope == QUOTA_INSTALLATION && limit.category == CATEGORY_ERROR)
            memcpy(said, limit.per, sizeof said);
        else
            limits[n++] = limit;
    }
    (void)put_defaults(w, said, limits); /* the two places that were left for it */
    quota_set_limits(w->config.quota, limits, n);
    free(limits);
}

/* Columns: project, pattern. */
static void on_origins(struct db_query *query, int r, const struct db_rows *rows)
{
    struct quota_watch *w = container_of(query, struct quota_watch, query);
    if (failed(w, r, query)) {
        w->wanted = true;
        return;
    }
    size_t n = (size_t)db_count(rows);
    struct origins_line *lines = calloc(n + 1, sizeof *lines);
    if (!lines)
        abort();
    for (size_t i = 0; i < n; i++)
        lines[i] = (struct origins_line){(uint64_t)db_i64(rows, (int)i, 0), db_text(rows, (int)i, 1)};
    origins_set(w->config.origins, lines, n);
    free(lines);
    go_on(w);
}

static void on_read(struct db_query *query, int r, const struct db_rows *rows)
{
    struct quota_watch *w = container_of(query, struct quota_watch, query);
    if (failed(w, r, query)) {
        w->wanted = true; /* at the next tick */
        return;
    }
    take_limits(w, rows);
    w->state = READING;
    db_query_init(&w->query, STMT_ORIGIN_LIST, on_origins);
    db_submit(w->config.db, &w->query);
}

/* ---- counts */

static void see(struct quota_watch *w, const struct id128 *node, int64_t tick)
{
    size_t i = 0;
    while (i < w->n_seen && !id_eq(&w->seen[i].node, node))
        i++;
    if (i == w->seen_cap) {
        w->seen_cap = w->seen_cap ? 2 * w->seen_cap : 4;
        w->seen = realloc(w->seen, w->seen_cap * sizeof *w->seen);
        if (!w->seen)
            abort();
    }
    if (i == w->n_seen)
        w->seen[w->n_seen++] = (struct seen){.node = *node, .tick = INT64_MIN};
    if (tick > w->seen[i].tick)
        w->seen[i].tick = tick;
}

/* Columns: node, tick, name, quantity. */
static void on_exchanged(struct db_query *query, int r, const struct db_rows *rows)
{
    struct quota_watch *w = container_of(query, struct quota_watch, query);
    if (failed(w, r, query))
        return;
    int64_t wall_us = clock_wall_us(), mono_us = clock_mono_us();
    for (int i = 0; i < db_count(rows); i++) {
        struct id128 node = db_id(rows, i, 0);
        int64_t tick = db_i64(rows, i, 1), quantity = db_i64(rows, i, 3);
        int64_t age_us = tick > wall_us ? 0 : wall_us - tick;
        see(w, &node, tick);
        if (quantity > 0 && !(w->heard && id_eq(&node, &w->config.node)))
            quota_count(w->config.quota, db_i64(rows, i, 2), (uint64_t)quantity, mono_us, mono_us - age_us);
    }
    if (w->has_tick)
        see(w, &w->config.node, w->tick);
    w->has_tick = false;
    w->heard = true;
    go_on(w);
}

/* Those that have said nothing for so long: the statement gives what it has of them by time. */
static void forget_silent(struct quota_watch *w, int64_t oldest_us)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->n_seen; i++)
        if (w->seen[i].tick >= oldest_us || id_eq(&w->seen[i].node, &w->config.node))
            w->seen[kept++] = w->seen[i];
    w->n_seen = kept;
}

static void bind_seen(struct quota_watch *w)
{
    db_array_start(&w->seen_nodes, DB_ID);
    db_array_start(&w->seen_ticks, DB_I64);
    for (size_t i = 0; i < w->n_seen; i++) {
        db_array_id(&w->seen_nodes, &w->seen[i].node);
        db_array_i64(&w->seen_ticks, w->seen[i].tick);
    }
    db_bind_array(&w->query, &w->seen_nodes);
    db_bind_array(&w->query, &w->seen_ticks);
}

/* Later than any other of this node. */
static int64_t next_tick(const struct quota_watch *w, int64_t now_us)
{
    int64_t last = INT64_MIN;
    for (size_t i = 0; i < w->n_seen; i++)
        if (id_eq(&w->seen[i].node, &w->config.node))
            last = w->seen[i].tick;
    return now_us > last ? now_us : last + 1;
}

static void put_count(void *arg, int64_t name, uint64_t quantity)
{
    struct quota_watch *w = arg;
    db_array_i64(&w->names, name);
    db_array_i64(&w->quantities, quantity < INT64_MAX ? (int64_t)quantity : INT64_MAX);
}

static void exchange(struct quota_watch *w)
{
    int64_t now_us = clock_wall_us();
    if (!w->has_tick) {
        db_array_start(&w->names, DB_I64);
        db_array_start(&w->quantities, DB_I64);
        w->tick = next_tick(w, now_us);
        if (w->heard) /* the first exchange only listens */
            quota_collect(w->config.quota, clock_mono_us(), put_count, w);
        w->has_tick = w->names.count > 0;
    }
    w->state = EXCHANGING;
    db_query_init(&w->query, STMT_QUOTA_EXCHANGE, on_exchanged);
    db_bind_id(&w->query, &w->config.node);
    db_bind_i64(&w->query, w->tick);
    db_bind_array(&w->query, &w->names);
    db_bind_array(&w->query, &w->quantities);
    forget_silent(w, now_us - KEPT_US);
    bind_seen(w);
    db_bind_i64(&w->query, now_us - KEPT_US);
    db_bind_i64(&w->query, now_us - FINE_US);
    db_submit(w->config.db, &w->query);
}

/* What is due. */
static void go_on(struct quota_watch *w)
{
    if (w->state != IDLE || w->closed)
        return;
    if (w->wanted) {
        w->wanted = false;
        w->state = READING;
        db_query_init(&w->query, STMT_QUOTA_LIMITS, on_read);
        db_submit(w->config.db, &w->query);
    } else if (quota_is_on(w->config.quota) && !w->heard) {
        exchange(w);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct quota_watch *w = container_of(timer, struct quota_watch, timer);
    go_on(w);
    if (w->state == IDLE && quota_is_on(w->config.quota))
        exchange(w);
}

void quota_watch_changed(struct quota_watch *w)
{
    w->wanted = true;
    go_on(w);
}

/* ---- opening, closing */

int quota_watch_open(const struct quota_watch_config *config, struct quota_watch **ret)
{
    struct quota_watch *w = calloc(1, sizeof *w);
    struct quota_limit defaults[2];
    static const int64_t nothing_said[QUOTA_WINDOWS] = {QUOTA_UNSAID, QUOTA_UNSAID};
    if (!w)
        return -ENOMEM;
    w->config = *config;
    db_query_init(&w->query, STMT_PING, NULL);
    quota_set_limits(config->quota, defaults, put_defaults(w, nothing_said, defaults));
    uv_timer_init(config->loop, &w->timer);
    uv_timer_init(config->loop, &w->patience);
    uv_timer_start(&w->timer, on_timer, TICK_MS, TICK_MS);
    *ret = w;
    return 0;
}

static void on_impatient(uv_timer_t *timer)
{
    container_of(timer, struct quota_watch, patience)->patient = false;
}

/* Turns the loop until the statement under way is over, or patience is. */
static void wait_idle(struct quota_watch *w)
{
    while (w->state != IDLE && w->patient)
        uv_run(w->config.loop, UV_RUN_ONCE);
}

static void be_patient(struct quota_watch *w, uint64_t ms)
{
    w->patient = true;
    uv_timer_start(&w->patience, on_impatient, ms, 0);
}

void quota_watch_prime(struct quota_watch *w)
{
    be_patient(w, PRIME_MS);
    quota_watch_changed(w);
    wait_idle(w);
    uv_timer_stop(&w->patience);
}

void quota_watch_settle(struct quota_watch *w)
{
    be_patient(w, SETTLE_MS);
    uv_timer_stop(&w->timer);
    w->wanted = false;
    wait_idle(w);
    if (w->state == IDLE && w->heard && quota_is_on(w->config.quota)) {
        exchange(w);
        wait_idle(w);
    }
    uv_timer_stop(&w->patience);
}

static void on_timer_closed(uv_handle_t *handle)
{
    uv_timer_t *timer = (uv_timer_t *)handle;
    struct quota_watch *w = timer->data;
    if (timer == &w->timer) {
        uv_close((uv_handle_t *)&w->patience, on_timer_closed);
        return;
    }
    void (*closed)(void *arg) = w->closed;
    void *arg = w->closed_arg;
    db_array_done(&w->names);
    db_array_done(&w->quantities);
    db_array_done(&w->seen_nodes);
    db_array_done(&w->seen_ticks);
    free(w->seen);
    free(w);
    closed(arg);
}

void quota_watch_close(struct quota_watch *w, void (*closed)(void *arg), void *arg)
{
    w->closed = closed;
    w->closed_arg = arg;
    db_cancel(&w->query);
    w->timer.data = w->patience.data = w;
    uv_close((uv_handle_t *)&w->timer, on_timer_closed);
}
