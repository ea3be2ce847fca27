/* internal.h: what the files of the http layer share: the server, its workers, connections and requests. Private to src/http. */
#pragma once

#include "picket/http/http.h"

#include <pthread.h>
#include <stdatomic.h>

#include "picket/base/arena.h"

enum { HTTP_JSON_MAX = 2 << 20, HTTP_RETRY_AFTER_S = 10 };

/* STARTING → SERVING → DRAINING (no new connections) → STOPPING (modules, then the database pool) → STOPPED. A failed start goes to DRAINING too. */
enum worker_state { WORKER_STARTING, WORKER_SERVING, WORKER_DRAINING, WORKER_STOPPING, WORKER_STOPPED };

struct worker {
    struct http_worker pub;
    pthread_t thread;
    enum worker_state state; /* changed by worker_set_state only */
    int start_result;        /* of worker_start; read by the opener after `started` */
    uv_sem_t started;
    uv_loop_t loop;
    h2o_context_t h2o;
    h2o_accept_ctx_t accept;
    int listen_fd; /* -1 once the listener owns it */
    uv_tcp_t listener;
    bool listening, accept_waits; /* accept_waits: a connection was not taken because conns_max was reached */
    uv_async_t wake;
    uv_timer_t grace;
    struct list conns;           /* struct conn.link: open ones */
    unsigned n_conns, conns_max; /* until their handles are closed */
    struct list calls;           /* struct call.link: requests that are not over */
    unsigned jobs;               /* submitted and not home */
    unsigned modules_started;
    int64_t complained_mono_us; /* when the last 5xx was logged (answer.c) */
    unsigned complaints_held;   /* those since then that were not */
    pthread_mutex_t post_lock;
    struct list posts, jobs_done; /* under post_lock */
};

struct http_server {
    struct http_config config;
    struct http_module *modules;
    unsigned n_modules;
    struct route_table *routes;
    h2o_globalconf_t h2o;
    unsigned port;
    unsigned grace_ms;        /* set before the workers are told to drain */
    atomic_size_t body_bytes; /* charged by requests under way */
    unsigned n_workers;       /* whose threads run */
    struct worker *workers;
};

/* A request: the public part and what only this layer touches. In req->pool. */
struct call {
    struct http_call pub;
    struct list link; /* worker->calls */
    struct str path;
    size_t charged;
    int64_t began_mono_us;
    bool answered, is_head;
};

static inline struct call *call_of(const struct http_call *pub)
{
    return container_of(pub, struct call, pub);
}
static inline struct worker *worker_of(const struct http_call *pub)
{
    return container_of(pub->worker, struct worker, pub);
}

/* bind.c: `n` sockets bound to the same address, not yet listening. -errno; *ret_port is the real one. */
MUST_CHECK int bind_sockets(const char *host, unsigned port, unsigned n, int *ret_fds, unsigned *ret_port);

/* worker.c */
void *worker_main(void *worker);
void worker_drain(void *worker); /* on its loop */

/* call.c: the one handler that libh2o knows. */
void call_register(h2o_pathconf_t *path);

/* refusal.c: gives libh2o's own error pages our bodies and headers. */
void refusal_register(h2o_pathconf_t *path, struct http_server *server);

/* authenticate.c: fills call->user and goes on with next(), or answers. */
void authenticate(struct http_call *call, void (*next)(struct http_call *call));

/* cors.c */
bool cors_own_origin(const struct http_call *call); /* false: Origin is present and foreign */
void cors_add(h2o_req_t *req, const struct http_config *config, enum http_access access);
void cors_preflight(struct http_call *call, enum http_access access, unsigned allowed);

/* answer.c: the body of an error (decisions.md "error bodies"), appended to `out`; retry_after_s 0: none. */
void answer_error_body(struct buf *out, enum http_access access, int r, struct str detail, unsigned retry_after_s);
void answer_common_headers(h2o_req_t *req, enum http_access access);
const char *answer_reason(int status);
