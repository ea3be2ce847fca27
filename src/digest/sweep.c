/* sweep.c: files that no row names.
 *
 *   begin → (walk to the next part that has old files → ask which of them are unnamed → remove those)* → done()
 *
 * Walking and removing block for the disk: they are jobs on a thread of this sweep's own, one at a time, and come back to the loop; asking is a
 * query. What is old enough to be judged by rows alone is said by the blob store (walk.c), and looked at again when a file is removed. So nothing
 * is lost by a sweep that is slow, that is cut short, or that runs beside another one. */
#include "picket/digest/sweep.h"

#include <errno.h>

#include "picket/base/work.h"

enum step { STEP_BEGIN, STEP_WALK, STEP_REMOVE };

struct sweep {
    struct sweep_config config;
    struct sweep_events events;
    struct work_pool *pool;
    struct work_job job;
    uv_async_t home;
    bool working, closing;
    enum step step;
    /* the job's while it runs */
    int result; /* 1: go on; 0: all is done */
    struct blob_walk *walk;
    int64_t before_us;
    const struct blob_found *found; /* the walk's */
    size_t n_found;
    bool *doomed; /* heap; of found */
    struct sweep_total total;
    /* the loop's */
    struct db_query query;
    struct db_array hashes;
    void (*closed)(void *arg);
    void *closed_arg;
};

/* ---- on the thread */

static int begin(struct sweep *s)
{
    const struct sweep_config *c = &s->config;
    int r = id_is_nil(&c->node) ? 0 : blob_hold(c->blobs, &c->node, c->hold_us);
    if (r == 0)
        r = blob_horizon(c->blobs, &s->before_us);
    if (r < 0)
        return r == -ENOENT ? 0 : r; /* nothing was ever put */
    r = blob_walk_open(c->blobs, &s->walk);
    return r < 0 ? r : 1;
}

static int walk(struct sweep *s)
{
    int r;
    do
        r = blob_walk_next(s->walk, s->before_us, &s->found, &s->n_found);
    while (r == 1 && s->n_found == 0);
    return r;
}

static int remove_doomed(struct sweep *s)
{
    for (size_t i = 0; i < s->n_found; i++) {
        if (!s->doomed[i])
            continue;
        int r = s->config.dry_run ? 1 : blob_remove(s->config.blobs, &s->found[i], s->before_us);
        s->total.failed += r < 0;
        s->total.files += r == 1;
        s->total.bytes += r == 1 ? s->found[i].bytes : 0;
    }
    return 1;
}

static void run(struct work_job *job)
{
    struct sweep *s = container_of(job, struct sweep, job);
    switch (s->step) {
    case STEP_BEGIN:
        s->result = begin(s);
        break;
    case STEP_WALK:
        s->result = walk(s);
        break;
    case STEP_REMOVE:
        s->result = remove_doomed(s);
        break;
    }
}

static void finished(struct work_job *job)
{
    (void)uv_async_send(&container_of(job, struct sweep, job)->home); /* fails for no reason but a closed handle, which this is not */
}

/* ---- on the loop */

static void submit(struct sweep *s, enum step step)
{
    s->step = step;
    s->working = true;
    s->job = (struct work_job){.run = run, .finished = finished};
    int r = work_submit(s->pool, &s->job);
    assert(r == 0); /* the only one */
}

static void tell(struct sweep *s, int r)
{
    s->events.done(s->events.arg, r, &s->total);
}

static void on_answer(struct db_query *q, int r, const struct db_rows *rows)
{
    struct sweep *s = container_of(q, struct sweep, query);
    if (r < 0) {
        tell(s, r);
        return;
    }
    free(s->doomed);
    s->doomed = calloc(s->n_found, sizeof *s->doomed);
    if (!s->doomed)
        abort();
    for (int i = 0; i < db_count(rows); i++)
        s->doomed[db_i64(rows, i, 0) - 1] = true;
    submit(s, db_count(rows) ? STEP_REMOVE : STEP_WALK);
}

static void ask(struct sweep *s)
{
    db_array_start(&s->hashes, DB_BYTES);
    for (size_t i = 0; i < s->n_found; i++)
        db_array_bytes(&s->hashes, str_of((const char *)s->found[i].name.sha256, BLOB_HASH));
    db_query_init(&s->query, STMT_ATTACHMENT_UNNAMED, on_answer);
    db_bind_i64(&s->query, (int64_t)s->found[0].name.project_id);
    db_bind_array(&s->query, &s->hashes);
    db_submit(s->config.db, &s->query);
}

static void on_closed(uv_handle_t *handle)
{
    struct sweep *s = container_of((uv_async_t *)handle, struct sweep, home);
    void (*closed)(void *) = s->closed;
    void *arg = s->closed_arg;
    work_pool_close(s->pool);
    blob_walk_close(s->walk);
    db_array_done(&s->hashes);
    free(s->doomed);
    free(s);
    if (closed)
        closed(arg);
}

static void on_home(uv_async_t *async)
{
    struct sweep *s = container_of(async, struct sweep, home);
    s->working = false;
    if (s->closing)
        uv_close((uv_handle_t *)&s->home, on_closed);
    else if (s->result <= 0)
        tell(s, s->result);
    else if (s->step == STEP_WALK)
        ask(s);
    else
        submit(s, STEP_WALK);
}

int sweep_open(const struct sweep_config *config, const struct sweep_events *events, struct sweep **ret)
{
    struct sweep *s = calloc(1, sizeof *s);
    if (!s)
        return -ENOMEM;
    s->config = *config;
    s->events = *events;
    int r = work_pool_open(1, 1, &s->pool);
    if (r < 0) {
        free(s);
        return r;
    }
    db_query_init(&s->query, STMT_ATTACHMENT_UNNAMED, on_answer);
    r = uv_async_init(db_loop(config->db), &s->home, on_home);
    assert(r == 0);
    submit(s, STEP_BEGIN);
    *ret = s;
    return 0;
}

void sweep_close(struct sweep *s, void (*closed)(void *arg), void *arg)
{
    s->closed = closed;
    s->closed_arg = arg;
    s->closing = true;
    db_cancel(&s->query);
    if (!s->working) /* else when the job is home */
        uv_close((uv_handle_t *)&s->home, on_closed);
}
