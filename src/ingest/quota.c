/* quota.c: counters in memory, asked once per item at the door.
 *
 * A counter has a name (scope, category, id) and two sliding windows (protocol/window.c), 0.8 KB. It is made when something is taken that a limit is
 * set for, and goes when its last hour was empty; so there are at most as many as projects and keys times limited categories, which is the
 * database's business and no client's. One mutex guards them all: an item is within all of its limits, and counted in all of them, or
 * counted in none, which needs the three counters at one moment. It is held for some 100 ns per item. Where nothing is limited it is not
 * taken at all: a mask of categories says so.
 *
 * Several Pickets share a limit by telling each other. Every TICK_MS a Picket that took anything writes one row into quota_ticks: what it took of
 * each name since its last one; and reads those of the others (quota_watch.c). So what one takes, the others know after 2 · TICK_MS and two
 * statements at most, and together they let through at most the limit and what the others took in the last four seconds; however bad the
 * burst and however long the database is away, never more than the limit for each Picket.
 * A restart reads the rows of the last hour, its own too. SIGTERM writes the last one; kill -9 costs at most TICK_MS of counts. While the
 * database is away at a start, only the limits of the environment are known, and nothing of the hour before.
 *
 * Limits come from the environment (defaults, by scope) and the database (by id, whose word goes before). A counter notes the limits that it was
 * asked for last; when they are replaced, `turn` moves on and it looks again. */
#include "picket/ingest/quota.h"

#include <pthread.h>
#include <stdatomic.h>

#include "picket/base/clock.h"
#include "picket/base/hash.h"
#include "picket/protocol/item.h"
#include "picket/protocol/window.h"

enum { ID_BITS = 54, CATEGORY_BITS = 6, PLACES_MIN = 64, SWEEP = 256 };

static const int64_t lengths_us[QUOTA_WINDOWS] = {60 * CLOCK_US_PER_S, CLOCK_US_PER_HOUR};

struct limit {
    uint64_t name;
    int64_t per[QUOTA_WINDOWS];
};
struct counter { /* heap */
    uint64_t name;
    uint64_t turn;               /* of `per` */
    uint64_t per[QUOTA_WINDOWS]; /* 0: none */
    uint64_t fresh;              /* taken since the last tick */
    struct counter *next_fresh;  /* of those with any */
    bool is_fresh;
    struct window windows[QUOTA_WINDOWS];
};

struct quota {
    atomic_uint_fast64_t categories[QUOTA_SCOPES]; /* bits: those with a limit */
    pthread_mutex_t lock;                          /* guards the rest */
    uint64_t turn;
    struct limit *limits; /* ascending by name */
    size_t n_limits;
    struct counter **places; /* open addressing, at most half full */
    size_t n, size, swept;   /* size: a power of two or 0 */
    struct counter *fresh;
};

struct quota *quota_new(void)
{
    struct quota *q = calloc(1, sizeof *q);
    if (!q)
        abort();
    pthread_mutex_init(&q->lock, NULL);
    return q;
}

void quota_free(struct quota *q)
{
    if (!q)
        return;
    for (size_t i = 0; i < q->size; i++)
        free(q->places[i]);
    free(q->places);
    free(q->limits);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

enum category quota_category(enum category category)
{
    return category == CATEGORY_DEFAULT || category == CATEGORY_SECURITY ? CATEGORY_ERROR : category;
}

bool quota_can_limit(enum category category)
{
    return quota_category(category) == category && item_stores_category(category);
}

void quota_put_categories(struct buf *out)
{
    bool any = false;
    for (int i = 0; i < 1 << CATEGORY_BITS; i++) {
        if (!quota_can_limit((enum category)i))
            continue;
        buf_append_str(out, any ? STR(", ") : STR(""));
        buf_append_str(out, category_name(i));
        any = true;
    }
}

/* Never 0: no category is. */
static uint64_t name_of(enum quota_scope scope, enum category category, uint64_t id)
{
    return (uint64_t)scope << (ID_BITS + CATEGORY_BITS) | (uint64_t)category << ID_BITS | (id & ((UINT64_C(1) << ID_BITS) - 1));
}

/* ---- limits */

static int by_name(const void *pa, const void *pb)
{
    const struct limit *a = pa, *b = pb;
    return a->name < b->name ? -1 : a->name > b->name;
}

void quota_set_limits(struct quota *q, const struct quota_limit *limits, size_t n)
{
    uint64_t categories[QUOTA_SCOPES] = {0};
    struct limit *fresh = calloc(n + 1, sizeof *fresh); /* + 1: never asks for nothing */
    if (!fresh)
        abort();
    for (size_t i = 0; i < n; i++) {
        enum category category = quota_category(limits[i].category);
        fresh[i] = (struct limit){name_of(limits[i].scope, category, limits[i].id), {limits[i].per[0], limits[i].per[1]}};
        if (limits[i].per[0] > 0 || limits[i].per[1] > 0)
            categories[limits[i].scope] |= UINT64_C(1) << category;
    }
    qsort(fresh, n, sizeof *fresh, by_name);
    pthread_mutex_lock(&q->lock);
    struct limit *old = q->limits;
    q->limits = fresh;
    q->n_limits = n;
    q->turn++;
    for (unsigned i = 0; i < QUOTA_SCOPES; i++)
        atomic_store(&q->categories[i], categories[i]);
    pthread_mutex_unlock(&q->lock);
    free(old);
}

bool quota_is_on(const struct quota *q)
{
    uint64_t any = 0;
    for (unsigned i = 0; i < QUOTA_SCOPES; i++)
        any |= atomic_load(&q->categories[i]);
    return any != 0;
}

static bool is_limited(const struct quota *q, enum quota_scope scope, enum category category)
{
    return atomic_load_explicit(&q->categories[scope], memory_order_relaxed) >> category & 1;
}

static const struct limit *find_limit(const struct quota *q, uint64_t name)
{
    if (q->n_limits == 0)
        return NULL; /* bsearch wants a list even then */
    return bsearch(&(struct limit){.name = name}, q->limits, q->n_limits, sizeof *q->limits, by_name);
}

/* The id's own word, else the default of its scope. False: no limit. */
static bool read_limits(const struct quota *q, uint64_t name, uint64_t ret[QUOTA_WINDOWS])
{
    const struct limit *own = find_limit(q, name), *common = find_limit(q, name >> ID_BITS << ID_BITS);
    bool any = false;
    for (unsigned i = 0; i < QUOTA_WINDOWS; i++) {
        int64_t per = own ? own->per[i] : QUOTA_UNSAID;
        if (per < 0 && common)
            per = common->per[i];
        ret[i] = per > 0 ? (uint64_t)per : 0;
        any = any || ret[i];
    }
    return any;
}

/* ---- counters; under the lock */

static size_t place_of(const struct quota *q, uint64_t name)
{
    return hash64(&name, sizeof name) & (q->size - 1);
}

/* Its place, or the free one for it. */
static struct counter **find(const struct quota *q, uint64_t name)
{
    size_t i = place_of(q, name);
    while (q->places[i] && q->places[i]->name != name)
        i = (i + 1) & (q->size - 1);
    return &q->places[i];
}

static void grow(struct quota *q)
{
    struct counter **old = q->places;
    size_t old_size = q->size;
    q->size = old_size ? 2 * old_size : PLACES_MIN;
    q->places = calloc(q->size, sizeof *q->places);
    if (!q->places)
        abort();
    for (size_t i = 0; i < old_size; i++)
        if (old[i])
            *find(q, old[i]->name) = old[i];
    free(old);
}

static struct counter *known(const struct quota *q, uint64_t name)
{
    return q->size ? *find(q, name) : NULL;
}

static struct counter *make(struct quota *q, uint64_t name, int64_t mono_us)
{
    struct counter *c = calloc(1, sizeof *c);
    if (!c)
        abort();
    if (q->n * 2 >= q->size)
        grow(q);
    c->name = name;
    for (unsigned i = 0; i < QUOTA_WINDOWS; i++)
        window_init(&c->windows[i], lengths_us[i], mono_us);
    *find(q, name) = c;
    q->n++;
    return c;
}

/* NULL: nothing is limited there. */
static struct counter *counter_of(struct quota *q, uint64_t name, int64_t mono_us)
{
    struct counter *c = known(q, name);
    uint64_t per[QUOTA_WINDOWS];
    if (!c || c->turn != q->turn) {
        bool any = read_limits(q, name, per);
        if (!c && !any)
            return NULL;
        if (!c)
            c = make(q, name, mono_us);
        memcpy(c->per, per, sizeof per);
        c->turn = q->turn;
    }
    return c->per[QUOTA_MINUTE] || c->per[QUOTA_HOUR] ? c : NULL;
}

/* Takes it out; those behind it move up, so that looking never meets a gap. */
static void forget(struct quota *q, size_t place)
{
    free(q->places[place]);
    q->places[place] = NULL;
    q->n--;
    for (size_t i = (place + 1) & (q->size - 1); q->places[i]; i = (i + 1) & (q->size - 1)) {
        struct counter *moved = TAKE_PTR(q->places[i]);
        *find(q, moved->name) = moved;
    }
}

/* A part of the table at a time. */
static void sweep(struct quota *q, int64_t mono_us)
{
    for (unsigned i = 0; i < SWEEP && q->n > 0; i++) {
        size_t place = q->swept & (q->size - 1);
        struct counter *c = q->places[place];
        if (c && !c->is_fresh && window_sum(&c->windows[QUOTA_HOUR], mono_us) == 0)
            forget(q, place); /* what moved here is looked at next */
        else
            q->swept = place + 1;
    }
}

/* ---- taking */

static uint64_t name_in(const struct quota_item *item, enum quota_scope scope)
{
    uint64_t id = scope == QUOTA_PROJECT ? item->project_id : scope == QUOTA_KEY ? item->key_id : 0;
    return name_of(scope, quota_category(item->category), id);
}

/* The longest wait that one of the limits asks for; 0: none. */
static int64_t wait_us(struct counter *const of[QUOTA_SCOPES], uint64_t quantity, int64_t mono_us, struct quota_refusal *ret)
{
    int64_t longest = 0;
    for (unsigned s = 0; s < QUOTA_SCOPES; s++) {
        for (unsigned i = 0; of[s] && i < QUOTA_WINDOWS; i++) {
            int64_t wait = of[s]->per[i] ? window_wait_us(&of[s]->windows[i], mono_us, of[s]->per[i], quantity) : 0;
            if (wait <= longest)
                continue;
            longest = wait;
            *ret = (struct quota_refusal){(enum quota_scope)s, (enum quota_window)i, of[s]->per[i],
                                          (unsigned)((wait + CLOCK_US_PER_S - 1) / CLOCK_US_PER_S)};
        }
    }
    return longest;
}

static void add(struct quota *q, struct counter *c, uint64_t quantity, int64_t mono_us)
{
    for (unsigned i = 0; i < QUOTA_WINDOWS; i++)
        window_add(&c->windows[i], mono_us, quantity);
    c->fresh += quantity;
    if (!c->is_fresh) {
        c->is_fresh = true;
        c->next_fresh = q->fresh;
        q->fresh = c;
    }
}

bool quota_take(struct quota *q, const struct quota_item *item, int64_t mono_us, struct quota_refusal *ret)
{
    struct counter *of[QUOTA_SCOPES] = {NULL};
    enum category category = quota_category(item->category);
    bool limited[QUOTA_SCOPES], any = false;
    for (unsigned s = 0; s < QUOTA_SCOPES; s++)
        any |= limited[s] = is_limited(q, (enum quota_scope)s, category);
    if (!any)
        return true;
    pthread_mutex_lock(&q->lock);
    for (unsigned s = 0; s < QUOTA_SCOPES; s++)
        if (limited[s])
            of[s] = counter_of(q, name_in(item, (enum quota_scope)s), mono_us);
    bool ok = wait_us(of, item->quantity, mono_us, ret) == 0;
    for (unsigned s = 0; ok && s < QUOTA_SCOPES; s++)
        if (of[s])
            add(q, of[s], item->quantity, mono_us);
    pthread_mutex_unlock(&q->lock);
    return ok;
}

void quota_give_back(struct quota *q, const struct quota_item *item, int64_t mono_us)
{
    pthread_mutex_lock(&q->lock);
    for (unsigned s = 0; s < QUOTA_SCOPES; s++) {
        struct counter *c = known(q, name_in(item, (enum quota_scope)s));
        if (!c)
            continue;
        for (unsigned i = 0; i < QUOTA_WINDOWS; i++)
            window_take_back(&c->windows[i], mono_us, item->quantity);
        c->fresh -= item->quantity < c->fresh ? item->quantity : c->fresh;
    }
    pthread_mutex_unlock(&q->lock);
}

/* ---- exchanging */

void quota_collect(struct quota *q, int64_t mono_us, void (*tell)(void *arg, int64_t name, uint64_t quantity), void *arg)
{
    pthread_mutex_lock(&q->lock);
    while (q->fresh) {
        struct counter *c = q->fresh;
        q->fresh = c->next_fresh;
        c->is_fresh = false;
        if (c->fresh) /* else all of it was given back */
            tell(arg, (int64_t)c->name, c->fresh);
        c->fresh = 0;
    }
    sweep(q, mono_us);
    pthread_mutex_unlock(&q->lock);
}

void quota_count(struct quota *q, int64_t name, uint64_t quantity, int64_t mono_us, int64_t at_mono_us)
{
    pthread_mutex_lock(&q->lock);
    struct counter *c = name ? counter_of(q, (uint64_t)name, mono_us) : NULL; /* 0: a row that is none of ours */
    for (unsigned i = 0; c && i < QUOTA_WINDOWS; i++)
        window_add_at(&c->windows[i], mono_us, at_mono_us, quantity);
    pthread_mutex_unlock(&q->lock);
}

/* ---- telling */

const char *quota_reason(const struct quota_refusal *refusal)
{
    static const char *const reasons[QUOTA_SCOPES][QUOTA_WINDOWS] = {{"installation_minute_quota", "installation_hour_quota"},
                                                                     {"project_minute_quota", "project_hour_quota"},
                                                                     {"key_minute_quota", "key_hour_quota"}};
    return reasons[refusal->scope][refusal->window];
}

void quota_put_limit(struct buf *out, const struct quota_refusal *refusal, enum category category)
{
    static const char *const scopes[QUOTA_SCOPES] = {"organization", "project", "key"}; /* decisions.md */
    buf_printf(out, "%u:", refusal->retry_s);
    category = quota_category(category);
    if (category == CATEGORY_ERROR)
        buf_append_str(out, STR("default;error;security"));
    else if (category == CATEGORY_ATTACHMENT)
        buf_append_str(out, STR("attachment;attachment_item"));
    else
        buf_append_str(out, category_name(category));
    buf_printf(out, ":%s:%s", scopes[refusal->scope], quota_reason(refusal));
}
