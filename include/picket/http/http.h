/* http.h: the HTTP server on libh2o: N threads, each with a loop, an SO_REUSEPORT listener and a database pool of its own; a route table with
 * the preamble (method, path parameters, CORS, authentication, rights, JSON body) that no handler repeats; helpers for answers. http knows no
 * resource, only that what lies below /api/projects/{project} belongs to a project: ingest and api register modules. A request lives and dies on its worker's thread. HTTP/1.1 only (architecture "Decisions"). */
#pragma once

#include <h2o.h>
#include <uv.h>

#include "picket/base/error.h"
#include "picket/base/id.h"
#include "picket/base/work.h"
#include "picket/db/db.h"
#include "picket/http/address.h"
#include "picket/http/route.h"
#include "picket/json/json.h"

struct http_worker { /* one per thread */
    unsigned index;  /* 0 … threads - 1 */
    uv_loop_t *loop;
    struct db *db; /* the pool that handlers query */
    struct http_server *server;
};

struct http_user {
    int64_t id;
    struct str email;
    enum role role;
    bool sees_all;       /* projects, as far as a token lets them */
    uint32_t scopes;     /* bits of enum scope: what the role gives, cut by the token */
    bool by_token;       /* Bearer, not session */
    int64_t token_id;    /* 0: by session */
    struct {             /* all zero: of a session */
        bool has_scopes; /* it has a list of them */
        struct str
            projects; /* its list of projects, as PostgreSQL writes an int[]; p == NULL: it has none, and is for wherever its user may */
        int64_t expires_us; /* 0: never */
    } token;
    uint8_t session_hash[32]; /* of the session or token in use */
};

struct http_call { /* in req->pool */
    h2o_req_t *req;
    struct http_worker *worker;
    void *module; /* the registering module's `ctx` */
    const struct http_route *route;
    struct str params[HTTP_MAX_PARAMS]; /* the {…} parts of the path in their order, percent-decoded */
    struct str query;                   /* without '?' */
    struct http_user user;
    struct json_doc *body; /* HTTP_JSON_BODY; freed with the request */
    struct arena arena;    /* freed with the request */
};

struct http_module {
    const struct http_route *routes;
    unsigned n_routes;
    void *ctx;                                             /* call->module */
    int (*worker_start)(void *ctx, struct http_worker *w); /* on the worker's thread before it serves; may be NULL */
    /* On the worker's thread after its last request; calls stopped(arg) when its handles are closed. May be NULL. */
    void (*worker_stop)(void *ctx, struct http_worker *w, void (*stopped)(void *arg), void *arg);
    /* One of its routes is refused with `r` while the body arrives, so no handler will see it: -ERR_TOO_LARGE, -ERR_BUSY (no room for it), -ERR_TOO_SLOW,
     * -ERR_BAD_REQUEST (not chunked as it says). body_bytes: what the head announces, which may be any number; else what has come. On the worker's
     * thread; the call's head may be looked at until this returns, and nothing else is to be done with it. May be NULL. */
    void (*refused)(struct http_call *call, int r, uint64_t body_bytes);
};

struct http_config {
    const char *host;
    unsigned port;
    unsigned threads;
    unsigned connections_max;     /* over all threads; beyond, accepting pauses */
    size_t body_max_bytes;        /* as sent; libh2o answers 413 above it */
    const char *body_dir;         /* bodies above 256 KiB lie here while they arrive, in unlinked files; NULL: /tmp */
    size_t bodies_max_bytes;      /* all bodies in flight, decoded and waiting; beyond: 503 with Retry-After */
    unsigned request_ms;          /* head and body of a request must arrive within this */
    unsigned idle_ms;             /* keep-alive; at least 5 s (protocol §1.2). libh2o has one timer for both: the longer one is used */
    const char *path_prefix;      /* of PUBLIC_URL: "" or "/errors": requests are taken with and without it */
    const char *dashboard_origin; /* scheme://host[:port] of DASHBOARD_URL, "" none: the one origin of credentialed CORS */
    const char *public_origin;    /* scheme://host[:port] of PUBLIC_URL: beside Host and the dashboard's, an own origin; "" none */
    bool secure_cookies;          /* SSL_PROXY */
    struct http_networks trusted_proxies; /* TRUSTED_PROXIES: whose word about the client's address counts */
    int64_t session_idle_us, session_absolute_us;
    struct db_config db;
    struct work_pool *work;
    struct work_pool *files; /* that reads files for answers; as many jobs may wait in it as there are connections */
};

/* 0, or -errno: why `host` and `port` cannot be listened on. For asking before anything else is done; another may still be faster. */
MUST_CHECK int http_can_listen(const char *host, unsigned port);

struct http_server;
/* Listens and serves when it returns 0; a failure is logged with host and port. The strings of `config`, its work pool and what the modules
 * point to are borrowed until http_server_close. SIGPIPE is ignored from now on. */
MUST_CHECK int http_server_open(const struct http_config *config, const struct http_module *modules, unsigned n_modules,
                                struct http_server **ret);
/* Stops accepting, lets requests under way finish (at most grace_ms; those left then get 503), waits for jobs, stops modules and threads.
 * The work pool must still run. NULL is fine. */
void http_server_close(struct http_server *s, unsigned grace_ms);
/* What its threads count; within a request of it. */
void http_put_metrics(const struct http_server *s, struct metric_text *t);
void http_db_collect(const struct http_server *s, struct db_reading *ret); /* their pools */
unsigned http_server_port(const struct http_server *s);                    /* the real one when config said 0 */

/* Runs fn(arg) on the worker's loop, soon. Any thread, while the worker is known to run: a request or a job of it is under way. */
void http_worker_post(struct http_worker *w, void (*fn)(void *arg), void *arg);

/* CPU work for a request: run() on a thread of the work pool, then home() on the worker's loop, always, also when the request is gone. So a job
 * is heap memory that home() frees, and it reaches its operation through a pointer that the operation's dispose callback clears. The worker
 * outlives its jobs. */
struct http_job {
    void (*run)(struct http_job *job);
    void (*home)(struct http_job *job);
    struct work_pool *pool; /* NULL: the server's */
    struct work_job work;   /* private from here */
    struct http_worker *worker;
    struct list link;
};
/* On the worker's loop. -ERR_BUSY when too many jobs wait: neither callback runs then. */
MUST_CHECK int http_job_submit(struct http_worker *w, struct http_job *job);

const struct http_config *http_config(const struct http_call *call);

/* ---- inside a handler */
int64_t http_began_us(const struct http_call *call);                               /* monotonic: when all of the request was there */
struct str http_header(const struct http_call *call, const char *lower_case_name); /* "" when absent; first of several */
/* The next one of that name behind *at (begin with SIZE_MAX): p == NULL when there is none. */
struct str http_header_next(const struct http_call *call, const char *lower_case_name, size_t *at);
struct str http_body_bytes(const struct http_call *call); /* as sent */
/* The body for another thread, which must not see anything of a request: a mapping of the file that a large body lies in. False: it does not, and is
 * small (HTTP_BODY_SMALL); copy it. The bytes do not change while the request is open, and are there until http_body_unmap, on any thread. */
enum { HTTP_BODY_SMALL = 256 << 10 };
struct http_body_map {
    void *base; /* private */
    size_t size;
    struct str bytes;
};
bool http_body_map(const struct http_call *call, struct http_body_map *ret);
void http_body_unmap(struct http_body_map *map);                                 /* zeroed ones too; idempotent */
bool http_query_param(struct http_call *call, struct str name, struct str *ret); /* percent-decoded into the arena; first of several */
/* For a route with credentials of its own (HTTP_INGEST) that takes the API's, too: whether there is a Bearer token; and whose it is, into call->user, and then
 * next(). Answers 401 otherwise. Never by a cookie: such a route is open to pages of any origin. */
bool http_has_token(const struct http_call *call);
/* Whether the caller has the scope; a route's own is asked for before its handler runs. */
bool http_may(const struct http_call *call, enum scope scope);
bool http_is_cut(const struct http_call *call);                   /* by a token with a list of scopes or projects */
void http_refuse_scope(struct http_call *call, enum scope scope); /* 403 that names it */
void http_no_project(struct http_call *call, struct str id);      /* 404: one that is not there, or that the caller does not see */
/* For a statement that finds projects by itself: two parameters, n and n + 1, for
 *     ($n::int IS NULL OR p.id IN (SELECT m.project_id FROM project_members m WHERE m.user_id = $n)) AND ($n+1::text IS NULL OR p.id = ANY ($n+1::text::int[])) */
void http_bind_reach(const struct http_call *call, struct db_query *q);
void http_authenticate_token(struct http_call *call, http_handler_fn *next);
/* Who sent the request, as text and as 16 bytes (v4-mapped): the peer, or whom trusted proxies name (http/address.h:
 * http_address_forwarded). */
struct str http_client_address(struct http_call *call, uint8_t ret_addr[16]);
/* Zeroed memory in req->pool that ends with a call of dispose(memory) when the request is over, answered or not: cancel there. */
void *http_on_dispose(struct http_call *call, size_t size, void (*dispose)(void *memory));

/* ---- answers; each may be the last thing a handler does */
void http_add_header(struct http_call *call, struct str name, struct str value);                /* copied */
void http_answer(struct http_call *call, int status, struct str content_type, struct str body); /* copied */
/* Not copied: the body is there as long as the process. */
void http_answer_constant(struct http_call *call, int status, struct str content_type, struct str body);
void http_answer_json(struct http_call *call, int status, const struct buf *json);
/* 200 with the bytes of a file, which are read on http_config.files a part at a time, as the client takes them. The descriptor is ours from now on. */
void http_answer_file(struct http_call *call, struct str content_type, int fd, uint64_t bytes);
void http_answer_empty(struct http_call *call, int status);
/* Room for an answer of so many bytes before it is made, so that making those which find none costs nothing; http_answer() asks for what it has not got.
 * Given back when the request is over. -ERR_BUSY: too many answers wait to be read. */
MUST_CHECK int http_reserve_answer(struct http_call *call, uint64_t bytes);
/* Status, type and text from the error table; `detail` (may be empty) says it more precisely. Shape by the route's access (decisions.md "error
 * bodies"). 503 and 429 get Retry-After. Logs 5xx once. */
void http_answer_error(struct http_call *call, int r, struct str detail);
void http_answer_retry(struct http_call *call, int r, struct str detail, unsigned retry_after_s);
/* Counts bytes against bodies_max_bytes until the request is over; -ERR_BUSY when they do not fit. */
MUST_CHECK int http_charge_body(struct http_call *call, size_t bytes);
