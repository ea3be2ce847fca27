/* tally.c: one slot per reason, by order of appearance. A line names the last project and client that met the reason, which is where one looks
 * first; keys, addresses and payloads are not for the log. */
#include "tally.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#include "picket/base/clock.h"
#include "picket/base/error.h"
#include "picket/base/log.h"

enum { REASONS_MAX = 64, CLIENT_MAX = 64, QUIET_US = 60 * CLOCK_US_PER_S };

struct slot {
    int reason; /* 0: free */
    uint64_t count, project_id;
    int64_t told_us;
    char client[CLIENT_MAX];
};

struct tally {
    pthread_mutex_t lock;
    struct slot slots[REASONS_MAX];
};

struct tally *tally_new(void)
{
    struct tally *t = calloc(1, sizeof *t);
    if (!t)
        abort();
    pthread_mutex_init(&t->lock, NULL);
    return t;
}

/* Under lock: what is to be told now. */
static bool take(struct slot *s, int64_t now_us, int64_t quiet_us, struct slot *ret)
{
    if (s->count == 0 || (s->told_us && now_us - s->told_us < quiet_us))
        return false;
    *ret = *s;
    s->count = 0;
    s->told_us = now_us;
    return true;
}

static void tell(const struct slot *s)
{
    char client[2 * CLIENT_MAX], why[200];
    log_line(LOG_WARN, "events refused or left out", "reason=%s count=%" PRIu64 " last_project=%" PRIu64 " last_client=%s why=%s",
             err_name(s->reason), s->count, s->project_id, log_quote(str_from(s->client), client, sizeof client),
             log_quote(str_from(err_text(s->reason)), why, sizeof why));
}

void tally_add(struct tally *t, int reason, unsigned n, uint64_t project_id, struct str client)
{
    struct slot due;
    bool is_due = false;
    client = str_take(client, CLIENT_MAX - 1);
    pthread_mutex_lock(&t->lock);
    for (unsigned i = 0; i < REASONS_MAX; i++) {
        struct slot *s = &t->slots[i];
        if (s->reason != 0 && s->reason != reason)
            continue;
        s->reason = reason;
        s->count += n;
        s->project_id = project_id;
        memcpy(s->client, client.p ? client.p : "", client.n);
        s->client[client.n] = '\0';
        is_due = take(s, clock_mono_us(), QUIET_US, &due);
        break;
    }
    pthread_mutex_unlock(&t->lock);
    if (is_due)
        tell(&due);
}

static void tell_all(struct tally *t, int64_t quiet_us)
{
    for (unsigned i = 0; i < REASONS_MAX; i++) {
        struct slot due;
        pthread_mutex_lock(&t->lock);
        bool is_due = take(&t->slots[i], clock_mono_us(), quiet_us, &due);
        pthread_mutex_unlock(&t->lock);
        if (is_due)
            tell(&due);
    }
}

void tally_tell(struct tally *t)
{
    tell_all(t, QUIET_US);
}

void tally_free(struct tally *t)
{
    if (!t)
        return;
    tell_all(t, 0);
    pthread_mutex_destroy(&t->lock);
    free(t);
}
