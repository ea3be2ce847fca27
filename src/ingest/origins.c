/* origins.c: see the header. One array for all, behind a lock that is held for a look-up; where no project has a list, it is never taken. */
#include "picket/ingest/origins.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "picket/base/arena.h"
#include "picket/protocol/origin.h"

struct origins {
    pthread_rwlock_t lock;
    atomic_size_t n;
    struct origins_line *lines;
    struct arena texts; /* their patterns */
};

struct origins *origins_new(void)
{
    struct origins *o = calloc(1, sizeof *o);
    pthread_rwlockattr_t attr;
    if (!o)
        abort();
    pthread_rwlockattr_init(&attr);
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP); /* a busy door must not keep a change waiting */
    pthread_rwlock_init(&o->lock, &attr);
    pthread_rwlockattr_destroy(&attr);
    arena_init(&o->texts);
    return o;
}

void origins_free(struct origins *o)
{
    if (!o)
        return;
    pthread_rwlock_destroy(&o->lock);
    arena_done(&o->texts);
    free(o->lines);
    free(o);
}

void origins_set(struct origins *o, const struct origins_line *lines, size_t n)
{
    struct origins_line *copy = calloc(n + 1, sizeof *copy); /* + 1: never asks for nothing */
    struct arena texts;
    if (!copy)
        abort();
    arena_init(&texts);
    for (size_t i = 0; i < n; i++)
        copy[i] = (struct origins_line){lines[i].project_id, arena_str(&texts, lines[i].pattern)};
    pthread_rwlock_wrlock(&o->lock);
    struct origins_line *old = o->lines;
    struct arena old_texts = o->texts;
    o->lines = copy;
    o->texts = texts;
    atomic_store(&o->n, n);
    pthread_rwlock_unlock(&o->lock);
    arena_done(&old_texts);
    free(old);
}

bool origins_are_on(const struct origins *o)
{
    return atomic_load_explicit(&o->n, memory_order_relaxed) > 0;
}

/* The first line of the project, or of the next one. */
static size_t first_of(const struct origins *o, uint64_t project_id)
{
    size_t low = 0, high = o->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (o->lines[middle].project_id < project_id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool origins_allow(struct origins *o, uint64_t project_id, struct str origin, struct str referer)
{
    struct origin page;
    if (!origins_are_on(o) || !origin_of(origin, referer, &page))
        return true;
    pthread_rwlock_rdlock(&o->lock);
    size_t n = o->n, i = first_of(o, project_id);
    bool allowed = i == n || o->lines[i].project_id != project_id;
    for (; i < n && !allowed && o->lines[i].project_id == project_id; i++)
        allowed = origin_matches(o->lines[i].pattern, &page);
    pthread_rwlock_unlock(&o->lock);
    return allowed;
}
