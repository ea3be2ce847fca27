/* throttle.c: two kinds of entries in one bounded table: an account's failures and an address's. An entry counts failures within a window that
 * begins with the first; up to BURST_MAX failures within BURST_US count as one (the dashboard tries thrice), a fourth is the next. When the
 * table is full the entry that failed longest ago goes: an attacker who fills it only makes it forget other attackers. An IPv6 address
 * counts as its /64, because that is what one customer gets: all of it. */
#include "picket/auth/throttle.h"

#include <arpa/inet.h>
#include <pthread.h>

#include "picket/base/clock.h"
#include "picket/base/hash.h"
#include "picket/base/id.h"

enum { BURST_US = 2 * CLOCK_US_PER_S, BURST_MAX = 3, KIND_ACCOUNT = 1, KIND_ADDRESS = 2, WAYS = 8, SETS = THROTTLE_MAX_ENTRIES / WAYS };

struct entry {
    uint64_t hash; /* 0: free */
    int64_t first_us, last_us;
    unsigned failures, burst; /* last_us: when the last burst began */
};

struct throttle {
    pthread_mutex_t lock;
    uint64_t seed; /* so that nobody can aim at one set */
    struct entry sets[SETS][WAYS];
};

struct throttle *throttle_new(void)
{
    struct throttle *t = calloc(1, sizeof *t);
    if (!t)
        abort();
    pthread_mutex_init(&t->lock, NULL);
    random_bytes(&t->seed, sizeof t->seed);
    return t;
}

void throttle_free(struct throttle *t)
{
    if (!t)
        return;
    pthread_mutex_destroy(&t->lock);
    free(t);
}

static uint64_t hash_of(const struct throttle *t, unsigned kind, struct str name)
{
    uint64_t h = hash64_seeded(name.p, name.n, t->seed + kind);
    return h ? h : 1;
}

static uint64_t hash_of_address(const struct throttle *t, struct str address)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr six;
    if (address.n < sizeof text && str_find(address, ':') < address.n) {
        memcpy(text, address.p, address.n);
        text[address.n] = '\0';
        if (inet_pton(AF_INET6, text, &six) == 1 && !IN6_IS_ADDR_V4MAPPED(&six))
            return hash_of(t, KIND_ADDRESS, str_of((const char *)&six, sizeof six / 2));
    }
    return hash_of(t, KIND_ADDRESS, address);
}

static struct entry *find(struct throttle *t, uint64_t hash)
{
    struct entry *set = t->sets[hash % SETS];
    for (unsigned i = 0; i < WAYS; i++)
        if (set[i].hash == hash)
            return &set[i];
    return NULL;
}

static struct entry *make(struct throttle *t, uint64_t hash)
{
    struct entry *set = t->sets[hash % SETS], *oldest = set;
    for (unsigned i = 0; i < WAYS; i++)
        if (set[i].hash == 0 || set[i].last_us < oldest->last_us)
            oldest = &set[i];
    *oldest = (struct entry){.hash = hash};
    return oldest;
}

static unsigned wait_of(struct throttle *t, uint64_t hash, unsigned max, int64_t now)
{
    struct entry *e = find(t, hash);
    int64_t end = e ? e->first_us + THROTTLE_WINDOW_S * INT64_C(1000000) : 0;
    if (!e || end <= now || e->failures < max)
        return 0;
    return (unsigned)((end - now) / CLOCK_US_PER_S) + 1;
}

unsigned throttle_check(struct throttle *t, struct str account, struct str address, int64_t mono_us)
{
    pthread_mutex_lock(&t->lock);
    unsigned a = wait_of(t, hash_of(t, KIND_ACCOUNT, account), THROTTLE_ACCOUNT_FAILURES, mono_us);
    unsigned b = wait_of(t, hash_of_address(t, address), THROTTLE_ADDRESS_FAILURES, mono_us);
    pthread_mutex_unlock(&t->lock);
    return a > b ? a : b;
}

static void count(struct throttle *t, uint64_t hash, int64_t now)
{
    struct entry *e = find(t, hash);
    if (!e)
        e = make(t, hash);
    if (e->failures && now - e->last_us < BURST_US && e->burst < BURST_MAX) {
        e->burst++;
        return;
    }
    if (e->failures == 0 || e->first_us + THROTTLE_WINDOW_S * INT64_C(1000000) <= now) {
        e->failures = 0;
        e->first_us = now;
    }
    e->failures++;
    e->burst = 1;
    e->last_us = now;
}

void throttle_failed(struct throttle *t, struct str account, struct str address, int64_t mono_us)
{
    pthread_mutex_lock(&t->lock);
    count(t, hash_of(t, KIND_ACCOUNT, account), mono_us);
    count(t, hash_of_address(t, address), mono_us);
    pthread_mutex_unlock(&t->lock);
}

void throttle_succeeded(struct throttle *t, struct str account)
{
    pthread_mutex_lock(&t->lock);
    struct entry *e = find(t, hash_of(t, KIND_ACCOUNT, account));
    if (e)
        *e = (struct entry){0};
    pthread_mutex_unlock(&t->lock);
}
