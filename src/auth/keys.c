/* keys.c: the cache of project keys: a hash table of all keys of the installation, plus a small table of keys that are known not to exist.
 *
 * Right at all times because: the whole table is loaded when the listener connects, and a NOTIFY re-asks its one key, in order. What is
 * known stays known while the database is away. Unknown keys are only remembered while the listener is up, because only then would the
 * NOTIFY of a key made meanwhile be heard. A load that began before a NOTIFY may be older than it: so notified keys are re-asked after the
 * load, on the same connection pool of one, whose queries keep their order.
 *
 * The answer to a cold miss comes over another connection and may be overtaken: by the NOTIFY of a change made after it was read, or by a
 * reconnect. Both count up `notices`, and an answer that began under an older count decides its own request and is not remembered: else a
 * key that was rotated at that moment would be good for ever.
 *
 * The copy (key_copy.c) is written by a worker thread whenever `changes` has moved since it was written last; the watch looks once a second, so
 * that a burst of changes costs one file, and a disk that is full today is tried again tomorrow.
 *
 * Table: open addressing, linear probing, at most half full, seeded hash. Readers hold the read lock for one look-up. */
#include "picket/auth/keys.h"

#include <errno.h>
#include <pthread.h>

#include "key_copy.h"
#include "picket/base/clock.h"
#include "picket/base/error.h"
#include "picket/base/hash.h"
#include "picket/base/log.h"

enum { UNKNOWN_MAX = 4096, UNKNOWN_US = 5 * CLOCK_US_PER_S, CAPACITY_MIN = 64, NOTIFIED_MAX = 256, RETRY_MS = 1000, COPY_MS = 1000 };

struct slot {
    struct id128 key;
    struct key_info info;
    bool used;
};
struct table {
    struct slot *slots;
    size_t capacity, n; /* a power of two; n <= capacity / 2 */
};
struct unknown {
    struct id128 key;
    int64_t until_us; /* monotonic; 0: free */
};

struct key_cache {
    pthread_rwlock_t lock;
    uint64_t seed;
    struct table table;
    bool listening, filled;
    uint64_t changes;                    /* of the table */
    uint64_t notices;                    /* NOTIFYs and reconnects: an answer that one has overtaken is not remembered */
    struct unknown unknown[UNKNOWN_MAX]; /* direct-mapped: a collision forgets, which costs a query */
};

/* ---- the table */

static size_t place(uint64_t seed, const struct id128 *key, size_t capacity)
{
    return hash64_seeded(key->b, sizeof key->b, seed) & (capacity - 1);
}

static struct slot *table_find(const struct table *t, uint64_t seed, const struct id128 *key)
{
    if (t->capacity == 0)
        return NULL;
    for (size_t i = place(seed, key, t->capacity); t->slots[i].used; i = (i + 1) & (t->capacity - 1))
        if (id_eq(&t->slots[i].key, key))
            return &t->slots[i];
    return NULL;
}

static void table_place(struct table *t, uint64_t seed, const struct slot *slot)
{
    size_t i = place(seed, &slot->key, t->capacity);
    while (t->slots[i].used)
        i = (i + 1) & (t->capacity - 1);
    t->slots[i] = *slot;
    t->n++;
}

static void table_grow(struct table *t, uint64_t seed)
{
    struct table bigger = {.capacity = t->capacity ? t->capacity * 2 : CAPACITY_MIN};
    bigger.slots = calloc(bigger.capacity, sizeof *bigger.slots);
    if (!bigger.slots)
        abort();
    for (size_t i = 0; i < t->capacity; i++)
        if (t->slots[i].used)
            table_place(&bigger, seed, &t->slots[i]);
    free(t->slots);
    *t = bigger;
}

static void table_set(struct table *t, uint64_t seed, const struct id128 *key, const struct key_info *info)
{
    struct slot *found = table_find(t, seed, key);
    if (found) {
        found->info = *info;
        return;
    }
    if (t->n * 2 >= t->capacity)
        table_grow(t, seed);
    table_place(t, seed, &(struct slot){*key, *info, true});
}

/* Removal re-places what follows, so that probing never meets a gap. */
static void table_remove(struct table *t, uint64_t seed, const struct id128 *key)
{
    struct slot *found = table_find(t, seed, key);
    if (!found)
        return;
    size_t i = (size_t)(found - t->slots);
    t->slots[i].used = false;
    t->n--;
    for (i = (i + 1) & (t->capacity - 1); t->slots[i].used; i = (i + 1) & (t->capacity - 1)) {
        struct slot moved = t->slots[i];
        t->slots[i].used = false;
        t->n--;
        table_place(t, seed, &moved);
    }
}

/* ---- the cache */

int key_cache_open(struct key_cache **ret)
{
    struct key_cache *c = calloc(1, sizeof *c);
    if (!c)
        return -ENOMEM;
    pthread_rwlockattr_t attr;
    pthread_rwlockattr_init(&attr);
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP); /* a busy door must not keep a rotation waiting */
    pthread_rwlock_init(&c->lock, &attr);
    pthread_rwlockattr_destroy(&attr);
    random_bytes(&c->seed, sizeof c->seed);
    *ret = c;
    return 0;
}

void key_cache_free(struct key_cache *c)
{
    if (!c)
        return;
    pthread_rwlock_destroy(&c->lock);
    free(c->table.slots);
    free(c);
}

static struct unknown *unknown_at(struct key_cache *c, const struct id128 *key)
{
    return &c->unknown[hash64_seeded(key->b, sizeof key->b, ~c->seed) % UNKNOWN_MAX];
}

static enum key_verdict judge(const struct key_info *info, uint64_t project_id)
{
    return info->active && (info->project_id == project_id || project_id == KEY_ANY_PROJECT) ? KEY_OK : KEY_REJECTED;
}

enum key_verdict key_cache_check(struct key_cache *c, const struct id128 *key, uint64_t project_id, struct key_info *ret)
{
    enum key_verdict verdict = KEY_MISS;
    pthread_rwlock_rdlock(&c->lock);
    const struct slot *s = table_find(&c->table, c->seed, key);
    if (s) {
        *ret = s->info;
        verdict = judge(&s->info, project_id);
    } else if (c->listening) {
        const struct unknown *u = unknown_at(c, key);
        if (u->until_us > clock_mono_us() && id_eq(&u->key, key))
            verdict = KEY_REJECTED;
    }
    pthread_rwlock_unlock(&c->lock);
    return verdict;
}

bool key_cache_is_filled(struct key_cache *c)
{
    pthread_rwlock_rdlock(&c->lock);
    bool filled = c->filled;
    pthread_rwlock_unlock(&c->lock);
    return filled;
}

static void know(struct key_cache *c, const struct id128 *key, const struct key_info *info)
{
    struct unknown *u = unknown_at(c, key);
    table_set(&c->table, c->seed, key, info);
    c->changes++;
    if (id_eq(&u->key, key))
        u->until_us = 0;
}

/* What a cold miss learned; `info` NULL: no such key. */
static void learn(struct key_cache *c, const struct id128 *key, const struct key_info *info, uint64_t notices)
{
    pthread_rwlock_wrlock(&c->lock);
    if (notices == c->notices && info)
        know(c, key, info);
    else if (notices == c->notices && !table_find(&c->table, c->seed, key))
        *unknown_at(c, key) = (struct unknown){*key, clock_mono_us() + UNKNOWN_US};
    pthread_rwlock_unlock(&c->lock);
}

/* What the watch learned, which is in order. */
static void refresh(struct key_cache *c, const struct id128 *key, const struct key_info *info)
{
    pthread_rwlock_wrlock(&c->lock);
    if (info)
        know(c, key, info);
    else
        table_remove(&c->table, c->seed, key);
    c->changes++;
    pthread_rwlock_unlock(&c->lock);
}

static void forget_unknown(struct key_cache *c, const struct id128 *key)
{
    pthread_rwlock_wrlock(&c->lock);
    struct unknown *u = unknown_at(c, key);
    c->notices++;
    if (id_eq(&u->key, key))
        u->until_us = 0;
    pthread_rwlock_unlock(&c->lock);
}

static uint64_t notices_now(struct key_cache *c)
{
    pthread_rwlock_rdlock(&c->lock);
    uint64_t n = c->notices;
    pthread_rwlock_unlock(&c->lock);
    return n;
}

static struct key_info info_at(const struct db_rows *rows, int row)
{
    return (struct key_info){.project_id = (uint64_t)db_i64(rows, row, 1), .key_id = db_i64(rows, row, 2), .active = db_bool(rows, row, 3)};
}

/* ---- the copy */

int64_t key_cache_restore(struct key_cache *c, const char *copy_path)
{
    AUTO_FREE struct key_entry *entries = NULL;
    int64_t n = key_copy_read(copy_path, &entries);
    pthread_rwlock_wrlock(&c->lock);
    for (int64_t i = 0; i < n; i++)
        table_set(&c->table, c->seed, &entries[i].key, &entries[i].info);
    c->filled |= n >= 0;
    pthread_rwlock_unlock(&c->lock);
    return n;
}

/* Heap, the caller's. */
static struct key_entry *snapshot(struct key_cache *c, size_t *ret_n, uint64_t *ret_changes)
{
    size_t n = 0;
    pthread_rwlock_rdlock(&c->lock);
    struct key_entry *entries = calloc(c->table.n + 1, sizeof *entries); /* + 1: never asks for nothing */
    if (!entries)
        abort();
    for (size_t i = 0; i < c->table.capacity; i++)
        if (c->table.slots[i].used)
            entries[n++] = (struct key_entry){c->table.slots[i].key, c->table.slots[i].info};
    *ret_changes = c->changes;
    pthread_rwlock_unlock(&c->lock);
    *ret_n = n;
    return entries;
}

static uint64_t changes_now(struct key_cache *c)
{
    pthread_rwlock_rdlock(&c->lock);
    uint64_t n = c->changes;
    pthread_rwlock_unlock(&c->lock);
    return n;
}

/* ---- one cold miss */

static void on_looked_up(struct db_query *query, int r, const struct db_rows *rows)
{
    struct key_query *q = container_of(query, struct key_query, query);
    enum key_verdict verdict = KEY_REJECTED;
    if (r == 0 && db_count(rows) == 1) {
        q->info = info_at(rows, 0);
        learn(q->cache, &q->key, &q->info, q->notices);
        verdict = judge(&q->info, q->project_id);
    } else if (r == 0) {
        learn(q->cache, &q->key, NULL, q->notices);
    }
    q->done(q, r, verdict);
}

void key_query_start(struct key_query *q, struct key_cache *c, struct db *db, const struct id128 *key, uint64_t project_id,
                     void (*done)(struct key_query *q, int r, enum key_verdict verdict))
{
    q->cache = c;
    q->key = *key;
    q->project_id = project_id;
    q->done = done;
    q->notices = notices_now(c);
    db_query_init(&q->query, STMT_KEY_LOOKUP, on_looked_up);
    db_bind_id(&q->query, &q->key);
    db_submit(db, &q->query);
}

void key_query_cancel(struct key_query *q)
{
    db_cancel(&q->query);
}

/* ---- following the database */

struct copying {
    struct work_job job;
    struct work_pool *work;
    const char *path; /* NULL: there is no copy */
    uv_timer_t timer;
    uv_async_t finished;
    bool running;
    bool failing;     /* told once */
    int result;       /* the job's … */
    uint64_t changes; /* … and what it wrote: `saved` once it is home */
    uint64_t saved;
};

struct key_watch {
    struct key_cache *cache;
    struct db *db;
    struct db_listener *listener;
    uv_timer_t retry;
    struct db_query query; /* the load, or the look-up of notified[0] */
    bool querying, load_wanted;
    bool failing; /* told once per outage */
    struct id128 notified[NOTIFIED_MAX];
    unsigned n_notified; /* more than fit: everything is loaded anew */
    struct copying copying;
    void (*quotas_changed)(void *arg);
    void *quotas_arg;
    unsigned open_handles;
    void (*closed)(void *arg);
    void *closed_arg;
};

static void ask_next(struct key_watch *w);

static void on_retry(uv_timer_t *timer)
{
    ask_next(container_of(timer, struct key_watch, retry));
}

static void failed(struct key_watch *w, int r)
{
    if (!w->failing)
        log_line(LOG_WARN, "project keys cannot be read: known ones go on working", "error=%s", err_name(r));
    w->failing = true;
    uv_timer_start(&w->retry, on_retry, RETRY_MS, 0);
}

static void on_loaded(struct db_query *query, int r, const struct db_rows *rows)
{
    struct key_watch *w = container_of(query, struct key_watch, query);
    struct key_cache *c = w->cache;
    w->querying = false;
    if (r < 0) {
        w->load_wanted = true;
        failed(w, r);
        return;
    }
    w->failing = false;
    struct table fresh = {0};
    for (int i = 0; i < db_count(rows); i++) {
        struct id128 key = db_id(rows, i, 0);
        struct key_info info = info_at(rows, i);
        table_set(&fresh, c->seed, &key, &info);
    }
    pthread_rwlock_wrlock(&c->lock);
    struct table old = c->table;
    c->table = fresh;
    c->filled = true;
    c->changes++;
    memset(c->unknown, 0, sizeof c->unknown);
    pthread_rwlock_unlock(&c->lock);
    free(old.slots);
    ask_next(w);
}

static void on_refreshed(struct db_query *query, int r, const struct db_rows *rows)
{
    struct key_watch *w = container_of(query, struct key_watch, query);
    w->querying = false;
    if (r < 0) {
        failed(w, r);
        return;
    }
    w->failing = false;
    struct id128 key = w->notified[0];
    w->n_notified--;
    memmove(w->notified, w->notified + 1, w->n_notified * sizeof w->notified[0]);
    if (db_count(rows) == 1) {
        struct key_info info = info_at(rows, 0);
        refresh(w->cache, &key, &info);
    } else {
        refresh(w->cache, &key, NULL);
    }
    ask_next(w);
}

static void ask_next(struct key_watch *w)
{
    if (w->querying)
        return;
    if (w->load_wanted) {
        w->load_wanted = false;
        w->querying = true;
        db_query_init(&w->query, STMT_KEY_LOAD_ALL, on_loaded);
        db_submit(w->db, &w->query);
    } else if (w->n_notified) {
        w->querying = true;
        db_query_init(&w->query, STMT_KEY_LOOKUP, on_refreshed);
        db_bind_id(&w->query, &w->notified[0]);
        db_submit(w->db, &w->query);
    }
}

static void on_notified(void *arg, struct str channel, struct str payload)
{
    (void)channel;
    struct key_watch *w = arg;
    struct id128 key;
    if (!id_parse(payload, &key)) {
        if (w->quotas_changed && str_eq(payload, STR("quotas")))
            w->quotas_changed(w->quotas_arg);
        return;
    }
    forget_unknown(w->cache, &key);
    if (w->n_notified < NOTIFIED_MAX) {
        w->notified[w->n_notified++] = key;
    } else {
        w->load_wanted = true; /* and the keys in line are re-asked after it, which does no harm */
    }
    ask_next(w);
}

static void on_connected(void *arg, bool up)
{
    struct key_watch *w = arg;
    pthread_rwlock_wrlock(&w->cache->lock);
    w->cache->listening = up;
    w->cache->notices++;
    memset(w->cache->unknown, 0, sizeof w->cache->unknown);
    pthread_rwlock_unlock(&w->cache->lock);
    if (up) {
        w->load_wanted = true;
        ask_next(w);
        if (w->quotas_changed)
            w->quotas_changed(w->quotas_arg);
    }
}

/* ---- copying: worker thread, then home */

static void copy_run(struct work_job *job)
{
    struct key_watch *w = container_of(job, struct key_watch, copying.job);
    size_t n;
    AUTO_FREE struct key_entry *entries = snapshot(w->cache, &n, &w->copying.changes);
    w->copying.result = key_copy_write(w->copying.path, entries, n);
}

static void copy_finished(struct work_job *job)
{
    uv_async_send(&container_of(job, struct key_watch, copying.job)->copying.finished);
}

static void close_copying(struct key_watch *w);

static void on_copy_home(uv_async_t *async)
{
    struct key_watch *w = container_of(async, struct key_watch, copying.finished);
    struct copying *c = &w->copying;
    c->running = false;
    if (c->result == 0)
        c->saved = c->changes;
    else if (!c->failing)
        log_line(LOG_WARN, "the copy of the project keys cannot be written: a restart without the database would know none", "error=%s",
                 err_name(c->result));
    c->failing = c->result < 0;
    if (w->closed)
        close_copying(w);
}

static void on_copy_timer(uv_timer_t *timer)
{
    struct key_watch *w = container_of(timer, struct key_watch, copying.timer);
    struct copying *c = &w->copying;
    if (c->running || changes_now(w->cache) == c->saved)
        return;
    c->job = (struct work_job){.run = copy_run, .finished = copy_finished};
    c->running = work_submit(c->work, &c->job) == 0; /* busy: next time */
}

int key_watch_open(const struct key_watch_config *config, struct key_watch **ret)
{
    struct key_watch *w = calloc(1, sizeof *w);
    if (!w)
        return -ENOMEM;
    w->cache = config->cache;
    w->db = config->db;
    struct db_listener_events events = {.notified = on_notified, .connected = on_connected, .arg = w};
    int r = uv_async_init(config->loop, &w->copying.finished, on_copy_home);
    if (r == 0)
        r = db_listen(config->loop, config->conninfo, STMT_LISTEN_KEYS, &events, &w->listener);
    if (r < 0) {
        if (w->copying.finished.loop)
            uv_close((uv_handle_t *)&w->copying.finished, NULL);
        uv_run(config->loop, UV_RUN_NOWAIT);
        free(w);
        return r;
    }
    uv_timer_init(config->loop, &w->retry);
    uv_timer_init(config->loop, &w->copying.timer);
    w->quotas_changed = config->quotas_changed;
    w->quotas_arg = config->quotas_arg;
    w->copying.work = config->work;
    w->copying.path = config->copy_path;
    if (w->copying.path)
        uv_timer_start(&w->copying.timer, on_copy_timer, COPY_MS, COPY_MS);
    *ret = w;
    return 0;
}

static void handle_closed(struct key_watch *w)
{
    if (--w->open_handles > 0)
        return;
    void (*closed)(void *) = w->closed;
    void *arg = w->closed_arg;
    free(w);
    closed(arg);
}

static void on_retry_closed(uv_handle_t *handle)
{
    handle_closed(container_of((uv_timer_t *)handle, struct key_watch, retry));
}

static void on_copy_timer_closed(uv_handle_t *handle)
{
    handle_closed(container_of((uv_timer_t *)handle, struct key_watch, copying.timer));
}

static void on_copy_async_closed(uv_handle_t *handle)
{
    handle_closed(container_of((uv_async_t *)handle, struct key_watch, copying.finished));
}

static void close_copying(struct key_watch *w)
{
    uv_close((uv_handle_t *)&w->copying.timer, on_copy_timer_closed);
    uv_close((uv_handle_t *)&w->copying.finished, on_copy_async_closed);
}

static void on_unlistened(void *arg)
{
    handle_closed(arg);
}

void key_watch_close(struct key_watch *w, void (*closed)(void *arg), void *arg)
{
    w->closed = closed;
    w->closed_arg = arg;
    w->open_handles = 4;
    if (w->querying)
        db_cancel(&w->query);
    db_unlisten(w->listener, on_unlistened, w);
    uv_close((uv_handle_t *)&w->retry, on_retry_closed);
    if (!w->copying.running)
        close_copying(w); /* else when it is home */
}
