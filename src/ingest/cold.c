/* cold.c: see the header. Who asks for a key that is being asked for waits with the others, so that a new key that begins with many requests at once is
 * one question; the question is taken back when nobody waits any more. Other keys have a bucket of COLD_BURST tokens, one more every 1/COLD_PER_S of a
 * second. */
#include "cold.h"

#include <stdlib.h>

#include "picket/base/clock.h"
#include "picket/base/error.h"

struct cold_look { /* heap; until it is answered or nobody waits */
    struct list link;
    struct cold *cold; /* NULL: answered */
    struct key_query query;
    struct list waits;
};

void cold_init(struct cold *c, struct key_cache *keys)
{
    *c = (struct cold){.keys = keys};
    list_init(&c->looks);
}

static void fill(struct cold *c, int64_t now_us)
{
    const int64_t token_us = CLOCK_US_PER_S / COLD_PER_S;
    int64_t n = (now_us - c->told_us) / token_us;
    if (c->told_us == 0 || n >= COLD_BURST - (int64_t)c->tokens) {
        c->tokens = COLD_BURST;
        c->told_us = now_us;
    } else if (n > 0) {
        c->tokens += (unsigned)n;
        c->told_us += n * token_us;
    }
}

bool cold_may(struct cold *c, int64_t now_us)
{
    fill(c, now_us);
    if (c->n_looks < COLD_MAX && c->tokens > 0) {
        c->tokens--;
        return true;
    }
    return c->n_looks < COLD_UNFILLED_MAX && !key_cache_is_filled(c->keys);
}

/* ---- one key */

static void look_over(struct cold_look *look)
{
    list_remove(&look->link);
    look->cold->n_looks--;
    look->cold = NULL;
}

static void on_looked(struct key_query *q, int r, enum key_verdict verdict)
{
    struct cold_look *look = container_of(q, struct cold_look, query);
    look_over(look);
    for (struct list *it; (it = list_pop(&look->waits)) != NULL;) {
        struct cold_wait *w = container_of(it, struct cold_wait, link);
        bool is_its = w->project_id == KEY_ANY_PROJECT || w->project_id == q->info.project_id;
        w->look = NULL;
        w->done(w, r, r == 0 && verdict == KEY_OK && is_its ? KEY_OK : KEY_REJECTED, &q->info);
    }
    free(look);
}

static struct cold_look *look_find(struct cold *c, const struct id128 *key)
{
    LIST_EACH(&c->looks, it) {
        struct cold_look *look = container_of(it, struct cold_look, link);
        if (id_eq(&look->query.key, key))
            return look;
    }
    return NULL;
}

static struct cold_look *look_start(struct cold *c, struct db *db, const struct id128 *key)
{
    struct cold_look *look = calloc(1, sizeof *look);
    if (!look)
        abort(); /* M4 */
    look->cold = c;
    list_init(&look->waits);
    list_push_back(&c->looks, &look->link);
    c->n_looks++;
    key_query_start(&look->query, c->keys, db, key, KEY_ANY_PROJECT, on_looked);
    return look;
}

int cold_ask(struct cold *c, struct cold_wait *w, struct db *db, const struct id128 *key, int64_t now_us)
{
    struct cold_look *look = look_find(c, key);
    if (!look && !cold_may(c, now_us))
        return -ERR_KEY_BUSY;
    w->look = look ? look : look_start(c, db, key);
    list_push_back(&w->look->waits, &w->link);
    return 0;
}

void cold_cancel(struct cold_wait *w)
{
    struct cold_look *look = TAKE_PTR(w->look);
    if (!look)
        return;
    list_remove(&w->link);
    if (!look->cold || !list_empty(&look->waits))
        return;
    key_query_cancel(&look->query);
    look_over(look);
    free(look);
}
