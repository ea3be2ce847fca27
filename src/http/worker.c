/* worker.c: one thread of the server: its loop, libh2o's context, the listener, and how all of that ends. Its connections: conn.c.
 *
 * The end. Draining closes the listener and the idle connections; what is under way is finished, for grace_ms. Then open requests are
 * answered 503 and their connections cut. When no connection and no job is left, modules stop in reverse order, then the database pool,
 * then the loop. Jobs are waited for because they come home to this loop. */
#include "internal.h"

#include <errno.h>
#include <sys/socket.h>

#include "picket/base/log.h"

enum { LISTEN_BACKLOG = 4096 };

struct post {
    struct list link;
    void (*fn)(void *arg);
    void *arg;
};

static void worker_set_state(struct worker *w, enum worker_state to)
{
    static const unsigned edges[] = {
        [WORKER_STARTING] = 1u << WORKER_SERVING | 1u << WORKER_DRAINING,
        [WORKER_SERVING] = 1u << WORKER_DRAINING,
        [WORKER_DRAINING] = 1u << WORKER_STOPPING,
        [WORKER_STOPPING] = 1u << WORKER_STOPPED,
        [WORKER_STOPPED] = 0,
    };
    assert(edges[w->state] & 1u << to);
    w->state = to;
}

/* ---- stopping */

static void pool_closed(void *arg)
{
    struct worker *w = arg;
    worker_set_state(w, WORKER_STOPPED);
    uv_close((uv_handle_t *)&w->wake, NULL);
    uv_close((uv_handle_t *)&w->grace, NULL);
    uv_close((uv_handle_t *)&w->watch, NULL);
    uv_stop(&w->loop);
}

static void stop_next(void *arg)
{
    struct worker *w = arg;
    while (w->modules_started > 0) {
        const struct http_module *m = &w->pub.server->modules[--w->modules_started];
        if (m->worker_stop) {
            m->worker_stop(m->ctx, &w->pub, stop_next, w);
            return;
        }
    }
    if (w->pub.db)
        db_close(w->pub.db, pool_closed, w);
    else
        pool_closed(w);
}

/* Called whenever something ended that draining waits for. */
void worker_drained_maybe(struct worker *w)
{
    if (w->state != WORKER_DRAINING || w->n_conns > 0 || w->jobs > 0)
        return;
    worker_set_state(w, WORKER_STOPPING);
    uv_timer_stop(&w->grace);
    stop_next(w);
}

static void grace_over(uv_timer_t *timer)
{
    struct worker *w = container_of(timer, struct worker, grace);
    LIST_EACH_SAFE(&w->calls, it)
        http_answer_error(&container_of(it, struct call, link)->pub, -ERR_BUSY, STR("the server is shutting down"));
    LIST_EACH_SAFE(&w->conns, it)
        conn_cut(container_of(it, struct conn, link), SHUT_RDWR);
}

void worker_drain(void *worker)
{
    struct worker *w = worker;
    worker_set_state(w, WORKER_DRAINING);
    if (w->listening)
        uv_close((uv_handle_t *)&w->listener, NULL);
    conns_end_lingering(w);
    w->h2o.shutdown_requested = 1; /* h2o_context_request_shutdown would also start an HTTP/2 timer that outlives the context */
    uv_timer_start(&w->grace, grace_over, w->pub.server->grace_ms, 0);
    LIST_EACH_SAFE(&w->conns, it) {
        struct conn *c = container_of(it, struct conn, link);
        if (c->sock->input->size == 0) /* between requests; what the kernel has received is still read before the end of file */
            conn_cut(c, SHUT_RD);
    }
    worker_drained_maybe(w);
}

/* ---- posts and jobs */

static void wake(struct worker *w, struct list *queue, struct list *link)
{
    pthread_mutex_lock(&w->post_lock);
    list_push_back(queue, link);
    uv_async_send(&w->wake); /* under the lock: the loop must not see the link, finish and close the handle before this returns */
    pthread_mutex_unlock(&w->post_lock);
}

void http_worker_post(struct http_worker *pub, void (*fn)(void *arg), void *arg)
{
    struct worker *w = container_of(pub, struct worker, pub);
    struct post *post = malloc(sizeof *post);
    if (!post)
        abort();
    *post = (struct post){.fn = fn, .arg = arg};
    wake(w, &w->posts, &post->link);
}

static void job_run(struct work_job *work)
{
    struct http_job *job = container_of(work, struct http_job, work);
    job->run(job);
}

static void job_finished(struct work_job *work)
{
    struct http_job *job = container_of(work, struct http_job, work);
    struct worker *w = container_of(job->worker, struct worker, pub);
    wake(w, &w->jobs_done, &job->link);
}

int http_job_submit(struct http_worker *pub, struct http_job *job)
{
    struct worker *w = container_of(pub, struct worker, pub);
    job->work = (struct work_job){.run = job_run, .finished = job_finished};
    job->worker = pub;
    int r = work_submit(job->pool ? job->pool : pub->server->config.work, &job->work);
    if (r == 0)
        w->jobs++;
    return r;
}

static void on_wake(uv_async_t *async)
{
    struct worker *w = container_of(async, struct worker, wake);
    struct list posts, jobs, *link;
    list_init(&posts);
    list_init(&jobs);
    pthread_mutex_lock(&w->post_lock);
    list_splice(&posts, &w->posts);
    list_splice(&jobs, &w->jobs_done);
    pthread_mutex_unlock(&w->post_lock);
    while ((link = list_pop(&jobs))) {
        struct http_job *job = container_of(link, struct http_job, link);
        w->jobs--;
        job->home(job);
    }
    while ((link = list_pop(&posts))) {
        struct post *post = container_of(link, struct post, link);
        post->fn(post->arg);
        free(post);
    }
    worker_drained_maybe(w);
}

/* ---- starting */

static int start_modules(struct worker *w)
{
    struct http_server *s = w->pub.server;
    int r = 0;
    while (r >= 0 && w->modules_started < s->n_modules) {
        const struct http_module *m = &s->modules[w->modules_started];
        r = m->worker_start ? m->worker_start(m->ctx, &w->pub) : 0;
        w->modules_started += r >= 0;
    }
    return r < 0 ? r : 0;
}

static int start_listening(struct worker *w)
{
    int r = uv_tcp_init(&w->loop, &w->listener);
    assert(r == 0);
    w->listening = true; /* from here on the handle must be closed */
    r = uv_tcp_open(&w->listener, w->listen_fd);
    if (r < 0)
        return r;
    w->listen_fd = -1;
    return uv_listen((uv_stream_t *)&w->listener, LISTEN_BACKLOG, conns_on_connection);
}

static int worker_start(struct worker *w)
{
    struct http_server *s = w->pub.server;
    struct db_config db = s->config.db;
    db.counts = &w->counts->db;
    int r = db_open(&w->loop, &db, &w->pub.db);
    if (r < 0)
        return r;
    r = start_modules(w);
    return r < 0 ? r : start_listening(w);
}

void *worker_main(void *worker)
{
    struct worker *w = worker;
    int r = uv_loop_init(&w->loop);
    assert(r == 0);
    r = uv_async_init(&w->loop, &w->wake, on_wake);
    assert(r == 0);
    uv_timer_init(&w->loop, &w->grace);
    uv_timer_init(&w->loop, &w->watch);
    conns_watch(w);
    h2o_context_init(&w->h2o, &w->loop, &w->pub.server->h2o);
    w->accept = (h2o_accept_ctx_t){.ctx = &w->h2o, .hosts = w->pub.server->h2o.hosts};
    w->start_result = worker_start(w);
    if (w->start_result == 0)
        worker_set_state(w, WORKER_SERVING);
    else
        worker_drain(w);
    uv_sem_post(&w->started);
    uv_run(&w->loop, UV_RUN_DEFAULT); /* until pool_closed stops it */
    h2o_context_dispose(&w->h2o);
    uv_run(&w->loop, UV_RUN_DEFAULT); /* the last close callbacks */
    r = uv_loop_close(&w->loop);
    assert(r == 0);
    return NULL;
}
