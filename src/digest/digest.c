/* digest.c: phase two: workers that turn spool ranges into rows.
 *
 * Each worker is a thread with a loop, one database connection and one batch, and goes round: claim a range → ask what its projects want
 * (rules.c, dictionaries.c) → read the columns of its events → ask for the numbers of new tags, if any (tags.c) → one statement → outcomes → dead letters, if any → the rest, if any (rest.c) →
 * settle the range. Nothing is counted here: the statement counts what it inserted (sql/migrations/0002_digest_batch.sql), so delivering a range
 * twice changes nothing, and the range is settled only after the commit (S6).
 *
 * Batches fill themselves: while one is stored the next records pile up. When there are few, a worker lingers some milliseconds before it
 * claims, so that a trickle costs a statement per LINGER_MS and not one per event. When there are more, but not so many that they wait, the
 * workers together let GATHER_RECORDS come, for GATHER_MAX_US at most: two that share 17,000 events a second took 280 at a time, and 760 cost
 * PostgreSQL a tenth less.
 *
 * Failures of a statement (failure.c) are lasting or passing. Lasting: some record cannot be stored; the slice is halved until that record
 * stands alone and goes to the dead letters, its neighbours are stored. Passing: the same slice again after a pause that doubles up to
 * BACKOFF_MAX_MS, for ever; one that keeps running out of time is halved, too, without giving anything up, and so is the rest. XX (internal
 * error) is tried XX_ATTEMPTS times before it counts as lasting. What becomes of dead letters: letters.c.
 *
 * An id that was sent before midnight and again after it is found in yesterday's partition, which is only sure when yesterday's batch is
 * committed. So receipt days go one after the other, in the order of the spool: a batch waits while one of another day is being stored,
 * while an earlier range of another day waits, and, when it would begin a new day, while any worker's range is not read yet. */
#include "picket/digest/digest.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "failure.h"
#include "letters.h"
#include "picket/base/clock.h"
#include "picket/base/error.h"
#include "picket/base/log.h"
#include "worker.h"

enum {
    LINGER_MS = 5,
    FEW_RECORDS = 50,
    GATHER_RECORDS = 1000,
    GATHER_MAX_US = 50 * 1000,
    READ_RETRY_MS = 1000,
    REST_SOON_MS = 1000,
    BACKOFF_MIN_MS = 50,
    BACKOFF_MAX_MS = 5000,
    XX_ATTEMPTS = 8,
    TIMEOUT_ATTEMPTS = 3,
};

static void claim_next(struct worker *w);
static void load_range(struct worker *w, bool retains);

/* ---- one receipt day at a time */

static void set_holding(struct worker *w, enum holding holding)
{
    pthread_mutex_lock(&w->digest->day_lock);
    w->holding = holding;
    w->oldest_us = w->batch.n_records ? w->batch.records[0].received_us : 0;
    pthread_mutex_unlock(&w->digest->day_lock);
}

/* The batch is read: from here on its day is known. One without a valid record goes with any day. */
static void wait_for_turn(struct worker *w)
{
    struct digest *d = w->digest;
    pthread_mutex_lock(&d->day_lock);
    w->holding = HOLDS_WAITING;
    w->day = w->batch.n_records ? batch_day(&w->batch) : d->day;
    w->oldest_us = w->batch.n_records ? w->batch.records[0].received_us : 0;
    w->from = (struct spool_pos){w->batch.range.segment, w->batch.range.from};
    pthread_mutex_unlock(&d->day_lock);
}

static bool is_behind(const struct worker *w, const struct worker *other)
{
    return w->from.segment != other->from.segment ? w->from.segment > other->from.segment : w->from.offset > other->from.offset;
}

/* The day's turn cannot come while `other` has what it has in hand. */
static bool is_held_up(const struct worker *w, const struct worker *other)
{
    switch (other->holding) {
    case HOLDS_UNREAD:
        return w->day != w->digest->day;
    case HOLDS_WAITING:
        return w->day != other->day && is_behind(w, other);
    case HOLDS_TURN:
        return w->day != other->day;
    case HOLDS_NOTHING:
        break;
    }
    return false;
}

static bool take_turn(struct worker *w)
{
    struct digest *d = w->digest;
    pthread_mutex_lock(&d->day_lock);
    bool ok = !d->closing;
    for (unsigned i = 0; i < d->n_workers && ok; i++)
        ok = i == w->index || !is_held_up(w, &d->workers[i]);
    if (ok) {
        w->holding = HOLDS_TURN;
        d->day = w->day;
    }
    pthread_mutex_unlock(&d->day_lock);
    return ok;
}

/* ---- the end of a batch */

static void on_linger(uv_timer_t *timer)
{
    claim_next(container_of(timer, struct worker, linger));
}

/* Claims after a while; a sooner claim that is planned already stands. */
static void linger(struct worker *w, unsigned ms)
{
    if (!w->stopping && !uv_is_active((uv_handle_t *)&w->linger))
        uv_timer_start(&w->linger, on_linger, ms, 0);
}

/* The batch is over, settled or given back. */
static void drop_batch(struct worker *w)
{
    assert(w->holding == HOLDS_WAITING || w->holding == HOLDS_TURN || w->asking != ASK_NOTHING);
    w->asking = ASK_NOTHING;
    w->n_slices = 0;
    batch_clear(&w->batch);
    set_holding(w, HOLDS_NOTHING);
}

static void close_worker(struct worker *w);

static void on_dictionary(struct db_query *q, int r, const struct db_rows *rows)
{
    struct worker *w = container_of(q, struct worker, dictionary_query);
    (void)rows;
    w->dictionary_running = false;
    dictionaries_kept(&w->batch.dictionaries, r, q);
}

/* When there are samples enough: 30 ms, once for many thousands of events. */
static void make_dictionary(struct worker *w)
{
    if (w->stopping || w->dictionary_running || !dictionaries_are_ripe(&w->batch.dictionaries))
        return;
    w->dictionary_running = true;
    dictionaries_bind(&w->batch.dictionaries, &w->dictionary_query, on_dictionary);
    db_submit(w->db, &w->dictionary_query);
}

void worker_settle(struct worker *w)
{
    bool few = w->batch.n_records < FEW_RECORDS;
    digest_count_batch(w->counts, &w->batch, w->index);
    spool_settle(w->digest->config.spool, &w->batch.range);
    drop_batch(w);
    make_dictionary(w);
    if (w->stopping)
        close_worker(w);
    else if (few)
        linger(w, LINGER_MS); /* a batch can gather meanwhile */
    else
        claim_next(w);
}

static void give_back(struct worker *w)
{
    spool_release(w->digest->config.spool, &w->batch.range);
    drop_batch(w);
}

/* ---- failures */

bool worker_is_lasting(const struct worker *w, int r, const struct db_query *q)
{
    switch (failure_of(r, q)) {
    case FAILURE_PASSING:
        break;
    case FAILURE_LASTING:
        return true;
    case FAILURE_INTERNAL:
        return w->attempts >= XX_ATTEMPTS;
    }
    return false;
}

bool worker_is_too_long(const struct worker *w, int r)
{
    return r == -ERR_DB_TIMEOUT && w->attempts + 1 >= TIMEOUT_ATTEMPTS;
}

/* The pauses go on growing. */
static void ask_again(struct worker *w)
{
    unsigned attempts = w->attempts;
    uint64_t backoff_ms = w->backoff_ms;
    load_range(w, w->batch.retains);
    w->attempts = attempts;
    w->backoff_ms = backoff_ms;
}

/* A database that was away may have come back as it was before: whether it has the dictionaries that the batch is packed with is asked again. */
static void on_backoff(uv_timer_t *timer)
{
    struct worker *w = container_of(timer, struct worker, backoff);
    if (w->was_away && w->rest == REST_AHEAD && w->n_slices)
        ask_again(w);
    else
        worker_store_next(w);
}

/* How long to wait after one more failure; tells the first, and those at the longest pause. */
static uint64_t pause_ms(struct worker *w, int r)
{
    w->attempts++;
    w->backoff_ms = w->backoff_ms ? w->backoff_ms * 2 : BACKOFF_MIN_MS;
    if (w->backoff_ms > BACKOFF_MAX_MS)
        w->backoff_ms = BACKOFF_MAX_MS;
    if (w->attempts == 1 || w->backoff_ms == BACKOFF_MAX_MS)
        log_line(LOG_WARN, "batch waits for the database", "worker=%u error=%s sqlstate=%s attempts=%u retry_ms=%" PRIu64, w->index,
                 err_name(r), w->query.sqlstate[0] ? w->query.sqlstate : "-", w->attempts, w->backoff_ms);
    return w->backoff_ms + failure_jitter(w->backoff_ms);
}

/* The same slice again, later. */
void worker_back_off(struct worker *w, int r)
{
    if (w->stopping) {
        give_back(w);
        close_worker(w);
        return;
    }
    w->was_away = r == -ERR_DB_AWAY;
    uv_timer_start(&w->backoff, on_backoff, pause_ms(w, r), 0);
}

void worker_halve(struct worker *w, unsigned middle)
{
    struct slice s = w->slices[--w->n_slices];
    assert(middle > s.from && middle <= s.to && w->n_slices + 2 <= SLICES_MAX);
    w->slices[w->n_slices++] = (struct slice){middle, s.to};
    w->slices[w->n_slices++] = (struct slice){s.from, middle};
    w->attempts = 0;
    w->backoff_ms = 0;
    worker_store_next(w);
}

static bool is_one_record(const struct worker *w)
{
    struct slice s = w->slices[w->n_slices - 1];
    return s.to - s.from == 1;
}

/* The record that the database will not take stands alone. */
static void give_up(struct worker *w, int r)
{
    struct slice s = w->slices[--w->n_slices];
    w->attempts = 0;
    w->backoff_ms = 0;
    batch_give_up(&w->batch, &w->batch.items[s.from], r, &w->query);
    worker_store_next(w);
}

/* ---- storing */

static void on_dead_kept(struct db_query *q, int r, const struct db_rows *rows)
{
    (void)rows;
    struct worker *w = container_of(q, struct worker, query);
    if (r < 0) {
        worker_back_off(w, r); /* a dead letter that cannot be kept is kept trying: nothing acknowledged is dropped */
        return;
    }
    w->attempts = 0;
    w->backoff_ms = 0;
    batch_keep_dead(&w->batch);
    digest_retry(w->digest);
    rest_store(w);
}

/* Something in the batch cannot be stored: from the start, with all that a dead letter has. */
static void begin_again(struct worker *w)
{
    if (!w->stopping) {
        load_range(w, true);
        return;
    }
    give_back(w);
    close_worker(w);
}

static void on_stored(struct db_query *q, int r, const struct db_rows *rows)
{
    struct worker *w = container_of(q, struct worker, query);
    struct slice s = w->slices[w->n_slices - 1];
    if (r < 0 && worker_is_lasting(w, r, q) && !w->batch.retains) {
        begin_again(w);
    } else if (r < 0 && worker_is_lasting(w, r, q) && is_one_record(w)) {
        give_up(w, r);
    } else if (r < 0 && (worker_is_too_long(w, r) || worker_is_lasting(w, r, q)) && !is_one_record(w)) {
        worker_halve(w, s.from + (s.to - s.from) / 2);
    } else if (r < 0) {
        worker_back_off(w, r);
    } else {
        w->n_slices--;
        metric_observe(&w->counts->statements, &metric_seconds, clock_mono_us() - w->sent_us);
        batch_take_outcomes(&w->batch, rows, s.from, s.to);
        w->was_away = false;
        w->attempts = 0;
        w->backoff_ms = 0;
        worker_store_next(w);
    }
}

/* Submits the statement for the next slice of events, then the one for dead letters, then those of the rest. */
void worker_store_next(struct worker *w)
{
    if (w->rest == REST_AHEAD && w->n_slices) {
        struct slice s = w->slices[w->n_slices - 1];
        db_query_init(&w->query, STMT_DIGEST_BATCH, on_stored);
        batch_bind(&w->batch, &w->query, &w->digest->node, s.from, s.to);
        w->sent_us = clock_mono_us();
        db_submit(w->db, &w->query);
        return;
    }
    if (w->rest == REST_STORED || w->rest == REST_PROBED) { /* the next part, or again, after a pause: the dead are kept already */
        rest_store(w);
        return;
    }
    db_query_init(&w->query, STMT_DEAD_LETTER_ADD, on_dead_kept);
    if (batch_bind_dead(&w->batch, &w->query))
        db_submit(w->db, &w->query);
    else
        rest_store(w);
}

/* ---- claiming */

static void begin_turn(struct worker *w);

/* The range cannot be read now: it is claimed again. */
static void put_off(struct worker *w, int r)
{
    log_line(LOG_ERROR, "spool cannot be read", "error=%s segment=%" PRIu64 " from=%" PRIu64, err_name(r), w->batch.range.segment,
             w->batch.range.from);
    give_back(w);
    linger(w, READ_RETRY_MS);
}

static void begin_read(struct worker *w)
{
    w->asking = ASK_NOTHING;
    wait_for_turn(w);
    begin_turn(w);
}

/* A batch is not held up by what only people filter by: without an answer that could come later its new tags are left out. */
static void on_tags(struct db_query *q, int r, const struct db_rows *rows)
{
    struct worker *w = container_of(q, struct worker, query);
    if (r < 0 && r != -ERR_DB_TIMEOUT && failure_of(r, q) == FAILURE_PASSING) { /* nothing waits for tags that take long to number */
        w->asking = ASK_LATER;
        linger(w, (unsigned)pause_ms(w, r));
        return;
    }
    if (r < 0)
        log_line(LOG_ERROR, "tags cannot be numbered: events of a batch are stored without those that are new", "error=%s sqlstate=%s",
                 err_name(r), q->sqlstate[0] ? q->sqlstate : "-");
    batch_take_tags(&w->batch, r < 0 ? NULL : rows);
    begin_read(w);
}

/* What the projects want was said: now the batch is read. */
static void on_projects(struct db_query *q, int r, const struct db_rows *rows)
{
    struct worker *w = container_of(q, struct worker, query);
    if (r < 0) {
        w->asking = ASK_LATER;
        linger(w, (unsigned)pause_ms(w, r));
        return;
    }
    batch_take_projects(&w->batch, rows);
    r = batch_read(&w->batch);
    if (r < 0) {
        put_off(w, r);
        return;
    }
    if (!batch_asks_tags(&w->batch)) {
        begin_read(w);
        return;
    }
    db_query_init(&w->query, STMT_TAGS_INTERN, on_tags);
    batch_bind_tags(&w->batch, &w->query);
    db_submit(w->db, &w->query);
}

static void ask_projects(struct worker *w)
{
    w->asking = ASK_RUNNING;
    db_query_init(&w->query, STMT_DIGEST_PROJECTS, on_projects);
    batch_bind_projects(&w->batch, &w->query);
    db_submit(w->db, &w->query);
}

/* At a moment when it is busy it stays as it is; the next time that there is nothing to claim begins another second. */
static void on_rest_soon(uv_timer_t *timer)
{
    struct worker *w = container_of(timer, struct worker, rest_soon);
    if (w->holding == HOLDS_NOTHING)
        batch_rest(&w->batch);
}

/* Takes up the records of the range that is claimed and asks what their projects want. */
static void load_range(struct worker *w, bool retains)
{
    batch_clear(&w->batch);
    w->n_slices = 0;
    w->asking = ASK_LATER; /* something is in hand */
    set_holding(w, HOLDS_UNREAD);
    int r = batch_load(&w->batch, w->digest->config.spool, retains);
    if (r < 0) {
        put_off(w, r);
        return;
    }
    set_holding(w, HOLDS_UNREAD); /* and it is known how old it is */
    w->attempts = 0;
    w->backoff_ms = 0;
    ask_projects(w);
}

/* ---- how much is gathered */

/* Milliseconds until something may be claimed; 0: now. */
static unsigned gathers_ms(struct digest *d)
{
    pthread_mutex_lock(&d->day_lock);
    int64_t left_us = d->gathers_until_us - clock_mono_us();
    pthread_mutex_unlock(&d->day_lock);
    return left_us > 0 ? (unsigned)((left_us + 999) / 1000) : 0;
}

/* A range that is not full was all that was there: the next one is to be of GATHER_RECORDS at the same rate, or of GATHER_MAX_US. */
static void note_claim(struct digest *d, const struct spool_range *range)
{
    int64_t now_us = clock_mono_us(), gather_us = 0;
    bool full = range->n_records >= d->config.batch_records || range->to - range->from >= d->config.batch_bytes / 2;
    pthread_mutex_lock(&d->day_lock);
    if (!full && range->n_records >= FEW_RECORDS)
        gather_us = (now_us - d->claimed_us) * GATHER_RECORDS / range->n_records;
    if (gather_us > GATHER_MAX_US)
        gather_us = GATHER_MAX_US;
    d->claimed_us = now_us;
    d->gathers_until_us = now_us + gather_us;
    pthread_mutex_unlock(&d->day_lock);
}

/* Nothing to claim: it is over; after a failure the next try is planned. */
static void take_range(struct worker *w)
{
    struct digest *d = w->digest;
    unsigned ms = gathers_ms(d);
    if (ms > 0) {
        linger(w, ms);
        return;
    }
    set_holding(w, HOLDS_UNREAD);
    atomic_store(&w->sleeps, true); /* before the look: what comes behind it wakes */
    int r = spool_claim(d->config.spool, d->config.batch_records, d->config.batch_bytes, &w->batch.range);
    if (r == 0) {
        set_holding(w, HOLDS_NOTHING);
        if (!uv_is_active((uv_handle_t *)&w->rest_soon))
            uv_timer_start(&w->rest_soon, on_rest_soon, REST_SOON_MS, 0);
        return;
    }
    atomic_store(&w->sleeps, false);
    if (r < 0) {
        log_line(LOG_ERROR, "spool cannot be read", "error=%s", err_name(r));
        linger(w, READ_RETRY_MS);
        return;
    }
    w->was_away = false;
    note_claim(d, &w->batch.range);
    load_range(w, false);
}

static void claim_next(struct worker *w)
{
    if (w->holding == HOLDS_TURN || w->asking == ASK_RUNNING || w->stopping || !atomic_load(&w->digest->ready))
        return;
    if (w->asking == ASK_LATER && w->batch.n_items)
        ask_again(w); /* it was read, and its tags could not be asked for */
    else if (w->asking == ASK_LATER)
        ask_projects(w);
    else if (w->holding == HOLDS_WAITING)
        begin_turn(w);
    else
        take_range(w);
}

static void begin_turn(struct worker *w)
{
    if (!take_turn(w)) {
        linger(w, LINGER_MS);
        return;
    }
    if (!w->was_away) {
        w->attempts = 0;
        w->backoff_ms = 0;
    }
    w->n_slices = 0;
    w->rest = REST_AHEAD;
    w->n_probes = 0;
    if (w->batch.n_open)
        w->slices[w->n_slices++] = (struct slice){0, w->batch.n_open};
    worker_store_next(w);
}

static void on_wake(uv_async_t *async)
{
    struct worker *w = container_of(async, struct worker, wake);
    atomic_store(&w->sleeps, false);
    if (w->holding != HOLDS_TURN)
        linger(w, LINGER_MS);
}

/* Some thousand times a second: a worker that is busy need not hear of it. */
static void wake_sleepers(void *arg)
{
    struct digest *d = arg;
    for (unsigned i = 0; i < d->n_workers; i++)
        if (atomic_load(&d->workers[i].sleeps))
            uv_async_send(&d->workers[i].wake);
}

static void tell_damage(void *arg, const struct spool_range *where)
{
    (void)arg;
    log_line(LOG_ERROR, "spool is damaged: records may be lost, what was there is in its quarantine",
             "segment=%" PRIu64 " offset=%" PRIu64 " bytes=%" PRIu64, where->segment, where->from, where->to - where->from);
}

/* ---- threads */

static void on_db_closed(void *arg)
{
    struct worker *w = arg;
    uv_handle_t *const handles[] = {(uv_handle_t *)&w->wake,     (uv_handle_t *)&w->stop,   (uv_handle_t *)&w->linger,
                                    (uv_handle_t *)&w->backoff,  (uv_handle_t *)&w->upkeep, (uv_handle_t *)&w->grace,
                                    (uv_handle_t *)&w->rest_soon};
    for (size_t i = 0; i < ARRAY_LEN(handles); i++)
        uv_close(handles[i], NULL);
}

/* Holds no range any more: closes everything, which ends the loop. */
static void close_worker(struct worker *w)
{
    assert(w->holding == HOLDS_NOTHING || w->holding == HOLDS_UNREAD);
    if (w->closing)
        return;
    w->closing = true;
    uv_timer_stop(&w->grace);
    db_cancel(&w->query);
    if (w->upkeep_running)
        db_cancel(&w->upkeep_query);
    if (w->dictionary_running)
        db_cancel(&w->dictionary_query);
    rollup_close(w->rollup);
    db_close(w->db, on_db_closed, w);
}

static void on_grace(uv_timer_t *timer)
{
    struct worker *w = container_of(timer, struct worker, grace);
    db_cancel(&w->query); /* it may commit or not: the range is delivered again, and delivering twice is harmless */
    give_back(w);
    close_worker(w);
}

static void on_stop(uv_async_t *async)
{
    struct worker *w = container_of(async, struct worker, stop);
    if (w->stopping)
        return;
    w->stopping = true;
    uv_timer_stop(&w->linger);
    bool has_turn = w->holding == HOLDS_TURN, pauses = uv_is_active((uv_handle_t *)&w->backoff);
    uv_timer_stop(&w->backoff);
    if (has_turn && !pauses && db_is_sent(&w->query)) {
        uv_timer_start(&w->grace, on_grace, w->digest->grace_ms, 0);
        return;
    }
    db_cancel(&w->query); /* with the database away it waits for a connection: nobody should wait for that */
    if (has_turn || w->holding == HOLDS_WAITING || w->asking != ASK_NOTHING)
        give_back(w);
    close_worker(w);
}

static void *run_worker(void *arg)
{
    struct worker *w = arg;
    uv_run(&w->loop, UV_RUN_DEFAULT);
    return NULL;
}

/* Everything of the worker but its thread, so that a failure is the opener's to handle. */
static int open_worker(struct digest *d, unsigned index)
{
    struct worker *w = &d->workers[index];
    w->digest = d;
    w->index = index;
    int r = uv_loop_init(&w->loop);
    if (r < 0)
        return r;
    batch_init(&w->batch);
    db_query_init(&w->query, STMT_PING, NULL);
    uv_async_init(&w->loop, &w->wake, on_wake);
    uv_async_init(&w->loop, &w->stop, on_stop);
    uv_timer_t *const timers[] = {&w->linger, &w->backoff, &w->upkeep, &w->grace, &w->rest_soon};
    for (size_t i = 0; i < ARRAY_LEN(timers); i++)
        uv_timer_init(&w->loop, timers[i]);
    w->counts = metric_block(sizeof *w->counts);
    struct db_config db = d->config.db;
    db.counts = &w->counts->db;
    if (index == 0)
        r = rollup_open(&w->loop, &db, d->config.spool, &w->rollup);
    if (r == 0)
        r = db_open(&w->loop, &db, &w->db);
    if (r < 0) {
        rollup_close(w->rollup);
        free(w->counts);
        on_db_closed(w);
        uv_run(&w->loop, UV_RUN_DEFAULT);
        batch_done(&w->batch);
        rollup_free(w->rollup);
        uv_loop_close(&w->loop);
        return r;
    }
    if (index == 0)
        upkeep_start(w);
    return 0;
}

int digest_open(const struct digest_config *config, struct digest **ret)
{
    struct digest *d = calloc(1, sizeof *d + config->workers * sizeof d->workers[0]);
    if (!d)
        return -ENOMEM;
    d->config = *config;
    d->config.db.connections = 1;
    d->node = spool_node(config->spool);
    d->day = INT64_MIN; /* none yet */
    pthread_mutex_init(&d->day_lock, NULL);
    spool_on_damage(config->spool, tell_damage, NULL);
    int r = 0;
    for (; d->n_workers < config->workers && r == 0; d->n_workers++)
        r = open_worker(d, d->n_workers);
    if (r < 0)
        d->n_workers--;
    if (r == 0 && config->letters.spill_dir)
        r = letters_open(&config->letters, &config->db, &d->letters);
    for (unsigned i = 0; i < d->n_workers && r == 0; i++) {
        r = -pthread_create(&d->workers[i].thread, NULL, run_worker, &d->workers[i]);
        d->workers[i].started = r == 0;
    }
    if (r < 0) {
        digest_close(d, 0);
        return r;
    }
    spool_on_durable(config->spool, wake_sleepers, d);
    *ret = d;
    return 0;
}

void digest_close(struct digest *d, unsigned grace_ms)
{
    if (!d)
        return;
    spool_on_durable(d->config.spool, NULL, NULL);
    d->grace_ms = grace_ms;
    pthread_mutex_lock(&d->day_lock);
    d->closing = true;
    pthread_mutex_unlock(&d->day_lock);
    for (unsigned i = 0; i < d->n_workers; i++)
        uv_async_send(&d->workers[i].stop);
    for (unsigned i = 0; i < d->n_workers; i++) {
        struct worker *w = &d->workers[i];
        if (w->started)
            pthread_join(w->thread, NULL);
        else
            (void)run_worker(w); /* its thread never came to be: end its loop here */
        batch_done(&w->batch);
        free(w->counts);
        rollup_free(w->rollup);
        int r = uv_loop_close(&w->loop);
        assert(r == 0);
    }
    letters_close(d->letters); /* after the workers, which wake it */
    pthread_mutex_destroy(&d->day_lock);
    free(d);
}

static int64_t oldest_us(struct digest *d)
{
    int64_t oldest = 0;
    pthread_mutex_lock(&d->day_lock);
    for (unsigned i = 0; i < d->n_workers; i++) {
        const struct worker *w = &d->workers[i];
        if (w->holding != HOLDS_NOTHING && w->oldest_us && (oldest == 0 || w->oldest_us < oldest))
            oldest = w->oldest_us;
    }
    pthread_mutex_unlock(&d->day_lock);
    return oldest;
}

static void collect(const struct digest *d, struct digest_reading *ret)
{
    *ret = (struct digest_reading){0};
    for (unsigned i = 0; i < d->n_workers; i++)
        digest_collect(d->workers[i].counts, ret);
}

void digest_stats(struct digest *d, struct digest_stats *ret)
{
    struct digest_reading all;
    collect(d, &all);
    digest_fill_stats(&all, ret);
    ret->oldest_us = oldest_us(d);
    ret->claims = atomic_load(&d->ready);
}

void digest_put_metrics(const struct digest *d, struct metric_text *t)
{
    struct digest_reading all;
    collect(d, &all);
    digest_put_reading(&all, t);
    rollup_put_metrics(d->workers[0].rollup, t);
}

void digest_db_collect(const struct digest *d, struct db_reading *ret)
{
    for (unsigned i = 0; i < d->n_workers; i++)
        db_collect(&d->workers[i].counts->db, ret);
}

void digest_letters(struct digest *d, struct digest_letters_stats *ret)
{
    *ret = (struct digest_letters_stats){0};
    if (d->letters)
        letters_stats(d->letters, ret);
}

void digest_retry(struct digest *d)
{
    if (d->letters)
        letters_wake(d->letters);
}
