/* internal.h: what the files of the http layer share: the server, its workers, connections and requests. Private to src/http. */
#pragma once

#include "picket/http/http.h"

#include <pthread.h>
#include <stdatomic.h>

#include "picket/base/arena.h"

#define HTTP_RETRY_AFTER "10" /* HTTP_RETRY_AFTER_S */
enum { HTTP_JSON_MAX = 2 << 20, HTTP_RETRY_AFTER_S = 10 };

/* STARTING → SERVING → DRAINING (no new connections) → STOPPING (modules, then the database pool) → STOPPED. A failed start goes to DRAINING too. */
enum worker_state { WORKER_STARTING, WORKER_SERVING, WORKER_DRAINING, WORKER_STOPPING, WORKER_STOPPED };

/* What a worker counts; its thread's alone to write (counts.c). */
enum call_kind { CALL_INGEST, CALL_API, CALL_NO_ROUTE, CALL_KINDS };
enum { ANSWER_STATUSES = 18 }; /* in the order of answer.c's table; one more for any other */
struct counts {
    struct metric_counter answers[CALL_KINDS][ANSWER_STATUSES + 1];
    struct metric_counter begun, over; /* requests */
    struct metric_counter accepted, connections;
    struct db_counts db;
};

struct worker {
    struct http_worker pub;
    struct counts *counts; /* metric_block */
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
    uv_timer_t watch;            /* conn.c */
    struct list growing;         /* struct conn.growing: input beyond the first buffer, those that began earlier first */
    struct list lingerings;      /* struct lingering.link */
    unsigned n_lingerings, shed; /* shed: refused or cut since it was last said */
    char thrown_away[16 << 10];  /* what lingering sockets receive */
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
    unsigned grace_ms;          /* set before the workers are told to drain */
    atomic_size_t body_bytes;   /* charged by requests that are arriving or under way */
    atomic_size_t memory_bytes; /* the part of the arriving ones that is not in files */
    atomic_size_t body_files;
    atomic_size_t answer_bytes; /* of requests that are not over */
    size_t body_files_max;
    h2o_buffer_mmap_settings_t memory_buffers, file_buffers; /* what libh2o is told for a buffer that grows (intake.c) */
    unsigned n_workers;                                      /* whose threads run */
    struct worker *workers;
};

enum conn_phase { CONN_IDLE, CONN_READING, CONN_WORKING };

struct conn {
    uv_tcp_t tcp;
    struct worker *worker;
    h2o_socket_t *sock;
    h2o_req_t *req;        /* libh2o's, the same for all requests of the connection; NULL until it is known */
    struct list link;      /* worker->conns while libh2o has the socket open */
    enum conn_phase phase; /* changed by conn_set_phase only */
    uint64_t since_ms;     /* loop's time when the phase began, or when an answer made progress */
    size_t unsent;         /* of the answer, at since_ms */
    struct list growing;   /* worker->growing while something is charged */
    size_t charged;        /* input beyond the first buffer */
    bool in_file;          /* … which is a file */
    bool lingers;          /* is closed with bytes of the client unread */
};

/* A request: the public part and what only this layer touches. In req->pool. */
struct call {
    struct http_call pub;
    struct list link; /* worker->calls */
    struct str path;
    size_t charged, answer_bytes;
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

static inline struct conn *conn_of(const h2o_req_t *req)
{
    return req->conn->callbacks->get_socket(req->conn)->on_close.data;
}

/* bind.c: `n` sockets bound to the same address, not yet listening. -errno; *ret_port is the real one. */
MUST_CHECK int bind_sockets(const char *host, unsigned port, unsigned n, int *ret_fds, unsigned *ret_port);

/* worker.c */
void *worker_main(void *worker);
void worker_drain(void *worker);             /* on its loop */
void worker_drained_maybe(struct worker *w); /* something ended that draining waits for */

/* conn.c */
void conns_on_connection(uv_stream_t *listener, int status);
void conns_watch(struct worker *w); /* starts the timer */
void conns_end_lingering(struct worker *w);
void conn_set_phase(struct conn *c, enum conn_phase to);
void conn_cut(struct conn *c, int how); /* shutdown(2): its end then comes through the loop */
void conn_drop(struct conn *c);         /* closes it, now if libh2o waits for bytes: *c is not to be touched any more */

/* intake.c */
void intake_open(struct http_server *s);
void intake_release(struct conn *c);
bool intake_evict_oldest(struct worker *w,
                         const struct conn *but); /* refuses the body that has been arriving longest; false: there is none */
void intake_refuse(struct conn *c, int status);   /* READING: answers (or drops, when there is no head) and closes */

/* call.c: the one handler that libh2o knows. */
void call_register(h2o_pathconf_t *path);
/* Tells the route's module of a request that no handler will see (http_module.refused). */
void call_refused(h2o_req_t *req, const struct route_match *match, struct str query, int r);

/* refusal.c: gives libh2o's own error pages our bodies and headers. */
void refusal_register(h2o_pathconf_t *path, struct http_server *server);

/* authenticate.c: fills call->user and goes on with next(), or answers. */
void authenticate(struct http_call *call, http_handler_fn *next);

/* permit.c */
bool is_of_project(const struct http_call *call); /* the route lies below /api/projects/{project} */
enum permit_project { PROJECT_NONE, PROJECT_UNSEEN, PROJECT_SEEN, PROJECT_NOT_THE_TOKENS };
/* Whether they may: false: answered. `project` is that of the path. */
bool permit(struct http_call *call, enum permit_project project);

/* counts.c */
void count_answer(struct worker *w, enum call_kind kind, int status);

/* cors.c */
bool cors_own_origin(const struct http_call *call); /* false: a page of another origin wants to change something by the user's cookie */
void cors_add(h2o_req_t *req, const struct http_config *config, enum http_access access);
void cors_preflight(struct http_call *call, enum http_access access, unsigned allowed);

/* answer.c: the body of an error (decisions.md "error bodies"), appended to `out`; retry_after_s 0: none. */
void answer_error_body(struct buf *out, enum http_access access, int r, struct str detail, unsigned retry_after_s);
void answer_common_headers(h2o_req_t *req, enum http_access access);
const char *answer_reason(int status);
unsigned answer_index(int status); /* ANSWER_STATUSES: of none that we send */
int answer_status(unsigned index);
void answer_begin(struct http_call *call, int status, struct str content_type, size_t bytes); /* status and headers; once */
size_t answers_max(const struct http_server *s);                                              /* bytes that answers may hold in memory */
bool answer_fits(struct call *c, size_t bytes); /* charges what an answer holds in memory; false: too many wait to be read */
