/* test_http.c: the server on real sockets: framing, jobs, bounds, and how it starts and ends. The database pool connects to nothing, because
 * no route here asks it. Clients block, with a limit; nothing sleeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "picket/http/http.h"

enum { BODY_MAX = 1 << 20, BODIES_MAX = 4 << 20, CLIENT_LIMIT_S = 20, LARGE_ANSWER = 400 << 10, LONG_GRACE_MS = 20000 };

/* ---- the module under the server */

struct world {
    atomic_int handled, disposed, no_room, started, stopped;
    int fail_start_at; /* the n-th worker_start fails; 0: none */
    sem_t job_runs, job_may_end, entered;
    struct work_pool *work;
    struct http_server *server;
    atomic_int refused; /* times, and what was said of the last one */
    int refused_with;
    uint64_t refused_bytes;
};

static struct world *world_of(struct http_call *call)
{
    return call->module;
}

struct op {
    struct world *world;
    struct http_call *call;
    struct op_job *job;
};
struct op_job {
    struct http_job job;
    struct world *world;
    struct op *op;
};

static void op_dispose(void *memory)
{
    struct op *op = memory;
    atomic_fetch_add(&op->world->disposed, 1);
    if (op->job)
        op->job->op = NULL;
}

static struct op *op_new(struct http_call *call)
{
    struct op *op = http_on_dispose(call, sizeof *op, op_dispose);
    op->world = world_of(call);
    op->call = call;
    atomic_fetch_add(&op->world->handled, 1);
    return op;
}

static void echo(struct http_call *call)
{
    op_new(call);
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    struct str q = STR("");
    (void)http_query_param(call, STR("q"), &q); /* absent: "" */
    json_writer_init(&w, &out);
    json_begin_object(&w);
    json_field_str(&w, STR("param"), call->params[0]);
    json_field_str(&w, STR("q"), q);
    json_field_i64(&w, STR("bytes"), (int64_t)http_body_bytes(call).n);
    json_end_object(&w);
    http_answer_json(call, 200, &out);
}

static void job_run(struct http_job *http_job)
{
    struct world *world = container_of(http_job, struct op_job, job)->world;
    sem_post(&world->job_runs);
    sem_wait(&world->job_may_end);
}

static void job_home(struct http_job *http_job)
{
    struct op_job *job = container_of(http_job, struct op_job, job);
    struct op *op = job->op;
    free(job);
    if (!op)
        return;
    op->job = NULL;
    http_answer(op->call, 200, STR("text/plain"), STR("done"));
}

static void later(struct http_call *call)
{
    struct op *op = op_new(call);
    struct op_job *job = calloc(1, sizeof *job);
    assert_non_null(job);
    *job = (struct op_job){.job = {.run = job_run, .home = job_home}, .world = op->world, .op = op};
    op->job = job;
    assert_int_equal(http_job_submit(call->worker, &job->job), 0);
}

static void never(struct http_call *call)
{
    sem_post(&op_new(call)->world->entered);
}

static void hold(struct http_call *call)
{
    struct op *op = op_new(call);
    int r = http_charge_body(call, BODIES_MAX);
    if (r < 0)
        http_answer_error(call, r, STR(""));
    else
        sem_post(&op->world->entered);
}

static void large(struct http_call *call)
{
    op_new(call);
    AUTO_BUF struct buf out = {0};
    buf_reserve(&out, LARGE_ANSWER); /* at once: 400 of these, byte by byte under TSan, kept the loop for 13 s of processor time */
    memset(out.p, 'x', LARGE_ANSWER);
    out.n = LARGE_ANSWER;
    http_answer(call, 200, STR("text/plain"), buf_str(&out));
}

/* As those do that have much to read first: who finds no room is refused before. */
static void reserved(struct http_call *call)
{
    struct op *op = op_new(call);
    if (http_reserve_answer(call, LARGE_ANSWER) < 0) {
        atomic_fetch_add(&op->world->no_room, 1);
        http_answer_error(call, -ERR_BUSY, STR(""));
        return;
    }
    AUTO_BUF struct buf out = {0};
    buf_reserve(&out, LARGE_ANSWER);
    memset(out.p, 'x', LARGE_ANSWER);
    out.n = LARGE_ANSWER;
    http_answer(call, 200, STR("text/plain"), buf_str(&out));
    assert_true(http_reserve_answer(call, LARGE_ANSWER) == 0); /* it has that already */
}

static const struct http_route routes[] = {
    {HTTP_GET, "/echo/{x}", HTTP_PUBLIC, HTTP_NO_BODY, echo},     {HTTP_POST, "/json", HTTP_PUBLIC, HTTP_JSON_BODY, echo},
    {HTTP_POST, "/api/{p}/x/", HTTP_INGEST, HTTP_NO_BODY, echo},  {HTTP_GET, "/later", HTTP_PUBLIC, HTTP_NO_BODY, later},
    {HTTP_GET, "/never", HTTP_PUBLIC, HTTP_NO_BODY, never},       {HTTP_GET, "/hold", HTTP_PUBLIC, HTTP_NO_BODY, hold},
    {HTTP_GET, "/large", HTTP_PUBLIC, HTTP_NO_BODY, large},       {HTTP_GET, "/user", HTTP_USER, HTTP_NO_BODY, echo},
    {HTTP_GET, "/reserved", HTTP_PUBLIC, HTTP_NO_BODY, reserved},
};

static int on_worker_start(void *ctx, struct http_worker *w)
{
    struct world *world = ctx;
    (void)w;
    return atomic_fetch_add(&world->started, 1) + 1 == world->fail_start_at ? -ENOSPC : 0;
}

static void on_worker_stop(void *ctx, struct http_worker *w, void (*stopped)(void *arg), void *arg)
{
    (void)w;
    atomic_fetch_add(&((struct world *)ctx)->stopped, 1);
    stopped(arg);
}

static void on_refused(struct http_call *call, int r, uint64_t body_bytes)
{
    struct world *world = world_of(call);
    struct str q;
    assert_true(str_eq(call->params[0], STR("1")) && http_query_param(call, STR("q"), &q) && str_eq(q, STR("a b")));
    assert_string_equal(call->route->path, "/api/{p}/x/");
    assert_true(str_eq(http_header(call, "x-a"), STR("b")));
    world->refused_with = r;
    world->refused_bytes = body_bytes;
    atomic_fetch_add(&world->refused, 1);
}

struct deadlines {
    unsigned request_ms, idle_ms;
};

static int open_server_with(struct world *world, unsigned threads, unsigned connections, unsigned port, const struct deadlines *deadlines)
{
    struct http_module module = {.routes = routes, .n_routes = ARRAY_LEN(routes), .ctx = world, .refused = on_refused};
    module.worker_start = on_worker_start;
    module.worker_stop = on_worker_stop;
    struct http_config config = {
        .host = "127.0.0.1",
        .port = port,
        .threads = threads,
        .connections_max = connections,
        .body_max_bytes = BODY_MAX,
        .bodies_max_bytes = BODIES_MAX,
        .request_ms = deadlines->request_ms,
        .idle_ms = deadlines->idle_ms,
        .path_prefix = "",
        .dashboard_origin = "",
        .public_origin = "",
        .session_idle_us = 1,
        .session_absolute_us = 1,
        .work = world->work,
        .db = {.conninfo = "host=/nonexistent",
               .application = "test",
               .connections = 1,
               .waiting_max = 8,
               .acquire_ms = 50,
               .query_ms = 1000},
    };
    return http_server_open(&config, &module, 1, &world->server);
}

static int open_server(struct world *world, unsigned threads, unsigned connections, unsigned port)
{
    static const struct deadlines long_ones = {.request_ms = 60000, .idle_ms = 60000};
    return open_server_with(world, threads, connections, port, &long_ones);
}

static void world_init(struct world *world)
{
    *world = (struct world){0};
    sem_init(&world->job_runs, 0, 0);
    sem_init(&world->job_may_end, 0, 0);
    sem_init(&world->entered, 0, 0);
    assert_int_equal(work_pool_open(2, 8, &world->work), 0);
}

static void world_done(struct world *world)
{
    work_pool_close(world->work);
    sem_destroy(&world->job_runs);
    sem_destroy(&world->job_may_end);
    sem_destroy(&world->entered);
}

static void world_open(struct world *world, unsigned threads, unsigned connections)
{
    world_init(world);
    assert_int_equal(open_server(world, threads, connections, 0), 0);
}

/* Every request that was handled has been disposed of, every module that was started has been stopped. */
static void world_close(struct world *world)
{
    http_server_close(world->server, LONG_GRACE_MS);
    assert_int_equal(world->handled, world->disposed);
    assert_int_equal(world->started, world->stopped);
    world_done(world);
}

/* ---- clients */

static int dial(const struct world *world)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)http_server_port(world->server)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval limit = {.tv_sec = CLIENT_LIMIT_S};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void say(int fd, struct str text)
{
    while (text.n > 0) {
        ssize_t n = send(fd, text.p, text.n, MSG_NOSIGNAL);
        if (n < 0) /* the server answered and closed before it had read everything: the answer is what counts */
            return;
        text = str_drop(text, (size_t)n);
    }
}

/* The next answer's status, 0 when the connection ended instead; its body in *ret. `rest` keeps what came behind it. */
static int hear(int fd, struct buf *rest, struct buf *ret)
{
    static const char end[] = "\r\n\r\n";
    for (;;) {
        char *head_end = rest->n ? memmem(rest->p, rest->n, end, 4) : NULL;
        if (head_end) {
            const char *length = memmem(rest->p, (size_t)(head_end - rest->p), "Content-Length: ", 16);
            uint64_t body = 0, status = 0;
            struct str digits = length ? str_of(length + 16, (size_t)(head_end - length - 16)) : STR("0");
            assert_true(str_to_u64(str_take(digits, str_find(digits, '\r')), &body));
            size_t head = (size_t)(head_end - rest->p) + 4;
            if (rest->n >= head + body) {
                assert_true(str_to_u64(str_of(rest->p + 9, 3), &status));
                buf_clear(ret);
                buf_append(ret, rest->p + head, body);
                rest->n -= head + body;
                memmove(rest->p, rest->p + head + body, rest->n);
                return (int)status;
            }
        }
        buf_reserve(rest, 65536);
        ssize_t n = recv(fd, rest->p + rest->n, 65536, 0);
        if (n < 0)
            assert_int_equal(errno, ECONNRESET); /* not the limit */
        if (n <= 0)
            return 0;
        rest->n += (size_t)n;
    }
}

static void expect(int fd, struct buf *rest, int status, const char *part)
{
    AUTO_BUF struct buf body = {0};
    assert_int_equal(hear(fd, rest, &body), status);
    assert_non_null(strstr(buf_cstr(&body), part));
}

static void expect_end(int fd, struct buf *rest)
{
    AUTO_BUF struct buf body = {0};
    assert_int_equal(hear(fd, rest, &body), 0);
    assert_int_equal(rest->n, 0);
}

#define HOST "Host: test\r\n"
#define POST "POST /api/1/x/?q=a+b HTTP/1.1\r\nX-A: b\r\n" HOST
#define GET(path) STR("GET " path " HTTP/1.1\r\n" HOST "\r\n")

/* ---- tests */

static void answers_on_one_connection(void **state)
{
    (void)state;
    struct world world;
    AUTO_BUF struct buf rest = {0};
    world_open(&world, 2, 100);
    AUTO_CLOSE int fd = dial(&world);
    say(fd, GET("/echo/a%20b?q=c+d&q=e"));
    expect(fd, &rest, 200, "{\"param\":\"a b\",\"q\":\"c d\",\"bytes\":0}");
    say(fd, STR("POST /api/1/x HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabcPOST /api/2/x/ HTTP/1.1\r\n" HOST
                "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\nGET /nothing HTTP/1.1\r\n" HOST "\r\n"));
    expect(fd, &rest, 200, "\"bytes\":3");
    expect(fd, &rest, 200, "\"bytes\":4");
    expect(fd, &rest, 404, "\"type\":\"NotFound\"");
    say(fd, STR("DELETE /later HTTP/1.1\r\n" HOST "\r\n"));
    expect(fd, &rest, 405, "\"type\":\"MethodNotAllowed\"");
    world_close(&world);
}

/* What comes behind a head that is read in two ways must not be taken for a request. */
static void refuses_smuggled_requests(void **state)
{
    (void)state;
    static const struct str attempts[] = {
        {"POST /api/1/x/ HTTP/1.1\r\n" HOST "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /echo/x HTTP/1.1\r\n" HOST
         "\r\n",
         0},
        {"POST /api/1/x/ HTTP/1.1\r\n" HOST "Content-Length: 4\r\nContent-Length: 0\r\n\r\nGET /echo/x HTTP/1.1\r\n" HOST "\r\n", 0},
        {"GET /echo/x HTTP/1.1\r\n\r\nGET /echo/x HTTP/1.1\r\n" HOST "\r\n", 0},
        {"GET /echo/x HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\nGET /echo/x HTTP/1.1\r\n" HOST "\r\n", 0},
    };
    struct world world;
    world_open(&world, 1, 100);
    for (size_t i = 0; i < ARRAY_LEN(attempts); i++) {
        AUTO_BUF struct buf rest = {0};
        AUTO_CLOSE int fd = dial(&world);
        say(fd, str_from(attempts[i].p));
        expect(fd, &rest, 400, i < 2 ? "\"detail\":" : "\"error\":");
        expect_end(fd, &rest);
    }
    assert_int_equal(world.handled, 0);
    world_close(&world);
}

static void refuses_what_is_too_large(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 1, 100);
    for (int chunked = 0; chunked < 2; chunked++) {
        AUTO_BUF struct buf text = {0}, rest = {0};
        AUTO_CLOSE int fd = dial(&world);
        buf_printf(&text, POST "%s%x%s",
                   chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "Content-Length: ", chunked ? BODY_MAX + 1 : 0x2000000,
                   chunked ? "\r\n" : "\r\n\r\n");
        for (int i = 0; chunked && i < BODY_MAX + 1; i++)
            buf_append_char(&text, 'x');
        say(fd, buf_str(&text));
        expect(fd, &rest, 413, "\"detail\":");
        assert_int_equal(world.refused, chunked + 1);
        assert_int_equal(world.refused_with, -ERR_TOO_LARGE);
        assert_true(chunked ? world.refused_bytes > BODY_MAX : world.refused_bytes == 2000000);
    }
    AUTO_BUF struct buf text = {0}, rest = {0};
    AUTO_CLOSE int fd = dial(&world);
    buf_append_str(&text, STR("GET /echo/x HTTP/1.1\r\n" HOST "X: "));
    for (int i = 0; i < 100000; i++)
        buf_append_char(&text, 'x');
    buf_append_str(&text, STR("\r\n\r\n"));
    say(fd, buf_str(&text));
    expect(fd, &rest, 431, "\"error\":");
    assert_int_equal(world.refused, 2);
    world_close(&world);
}

/* Only of a route's own method, and of a request whose head can be read. */
static void says_what_no_handler_sees(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 1, 100);
    static const struct {
        const char *head;
        int status, refused;
    } cases[] = {
        {"PUT /api/1/x/?q=a+b HTTP/1.1\r\n" HOST "Content-Length: 2000000\r\n\r\n", 413, 0},
        {"POST /api/1/y/?q=a+b HTTP/1.1\r\n" HOST "Content-Length: 2000000\r\n\r\n", 413, 0},
        {"POST \r\n\r\n", 400, 0},
        {POST "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, 1},
        {POST "Content-Length: 2000000\r\n\r\n", 413, 2},
        {POST "Content-Length: 1\r\n\r\nx", 200, 2},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_BUF struct buf rest = {0};
        AUTO_CLOSE int fd = dial(&world);
        say(fd, str_from(cases[i].head));
        expect(fd, &rest, cases[i].status, "");
        assert_int_equal(world.refused, cases[i].refused);
    }
    world_close(&world);
}

static void reads_json_bodies(void **state)
{
    (void)state;
    static const struct {
        const char *type, *body;
        int status;
    } cases[] = {
        {"application/json", "{\"a\":1}", 200}, {"Application/JSON; charset=utf-8", "{}", 200},
        {"application/vnd.x+json", "{}", 200},  {"text/plain", "{}", 415},
        {"application/jsonx", "{}", 415},       {"application/json", "", 400},
        {"application/json", "{", 400},         {"application/json", "[]", 400},
        {"application/json", "{} x", 400},
    };
    struct world world;
    AUTO_BUF struct buf rest = {0};
    world_open(&world, 1, 100);
    AUTO_CLOSE int fd = dial(&world);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_BUF struct buf text = {0};
        buf_printf(&text, "POST /json HTTP/1.1\r\n" HOST "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n%s", cases[i].type,
                   strlen(cases[i].body), cases[i].body);
        say(fd, buf_str(&text));
        expect(fd, &rest, cases[i].status, "");
    }
    world_close(&world);
}

/* A request that the database would have to decide is refused with 503 while there is none, and never hangs. */
static void answers_without_a_database(void **state)
{
    (void)state;
    struct world world;
    AUTO_BUF struct buf rest = {0};
    world_open(&world, 1, 100);
    AUTO_CLOSE int fd = dial(&world);
    say(fd, GET("/user"));
    expect(fd, &rest, 401, "Not authenticated");
    say(fd, STR("GET /user HTTP/1.1\r\n" HOST "Authorization: Bearer 0123456789012345678901234567890123456789\r\n\r\n"));
    expect(fd, &rest, 503, "\"type\":\"Unavailable\"");
    assert_int_equal(world.handled, 0);
    world_close(&world);
}

static void jobs_come_home(void **state)
{
    (void)state;
    struct world world;
    AUTO_BUF struct buf rest = {0};
    world_open(&world, 2, 100);
    AUTO_CLOSE int fd = dial(&world);
    for (int i = 0; i < 50; i++) {
        say(fd, GET("/later"));
        sem_wait(&world.job_runs);
        sem_post(&world.job_may_end);
        expect(fd, &rest, 200, "done");
    }
    world_close(&world);
}

/* The client is gone before its job: the request is over when the answer cannot be written, and nothing is touched afterwards. */
static void clients_may_leave(void **state)
{
    (void)state;
    struct world world;
    struct linger reset = {.l_onoff = 1};
    world_open(&world, 2, 100);
    for (int i = 0; i < 50; i++) {
        int fd = dial(&world);
        say(fd, GET("/later"));
        sem_wait(&world.job_runs);
        if (i % 2)
            assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
        close(fd);
        sem_post(&world.job_may_end);
    }
    world_close(&world);
}

static void say_post(int fd, size_t announced, size_t sent)
{
    AUTO_BUF struct buf text = {0};
    buf_printf(&text, POST "Content-Length: %zu\r\n\r\n", announced);
    for (size_t i = 0; i < sent; i++)
        buf_append_char(&text, 'x');
    say(fd, buf_str(&text));
}

/* What a handler holds leaves no room for a large body; a small one lies in the connection's first buffer. */
static void bytes_in_flight_are_bounded(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 1, 100);
    AUTO_CLOSE int holder = dial(&world);
    say(holder, GET("/hold"));
    sem_wait(&world.entered);
    for (int large = 0; large < 2; large++) {
        AUTO_BUF struct buf rest = {0};
        AUTO_CLOSE int fd = dial(&world);
        size_t n = large ? 100 << 10 : 1000;
        say_post(fd, n, n);
        expect(fd, &rest, large ? 503 : 200, large ? "\"detail\":" : "\"bytes\":1000");
        assert_int_equal(world.refused, large);
    }
    assert_int_equal(world.refused_with, -ERR_BUSY);
    assert_int_equal(world.refused_bytes, 100 << 10);
    http_server_close(world.server, 0);
    assert_int_equal(world.handled, world.disposed);
    world_done(&world);
}

static bool has_ended(int fd)
{
    char byte;
    return recv(fd, &byte, 1, 0) <= 0;
}

/* Bodies that began and stop fill the budget: the oldest goes with an answer, however much it still wants to send, and who comes later is served. */
/* The next of them that is answered; its number. Whose bodies the server reads first is its own affair. */
static int next_answered(struct pollfd *fds, int n)
{
    int ready = poll(fds, (nfds_t)n, CLIENT_LIMIT_S * 1000);
    assert_true(ready > 0);
    int i = 0;
    while (!fds[i].revents)
        i++;
    return i;
}

static void stalled_bodies_make_room(void **state)
{
    (void)state;
    enum { N = 12, FIT = 8, PART = 500 << 10, WHOLE = 1000 << 10 };
    struct world world;
    struct pollfd fds[N];
    world_open(&world, 1, 100);
    for (int i = 0; i < N; i++) {
        fds[i] = (struct pollfd){.fd = dial(&world), .events = POLLIN};
        say_post(fds[i].fd, WHOLE, PART);
    }
    /* Each takes 512 KiB beyond its first buffer, so 8 fit; the others are refused, until the first ones are old enough to go. */
    for (int refused = 0; refused < N - FIT; refused++) {
        AUTO_BUF struct buf rest = {0};
        struct pollfd *gone = &fds[next_answered(fds, N)];
        expect(gone->fd, &rest, 503, "\"detail\":");
        assert_true(has_ended(gone->fd));
        close(gone->fd);
        gone->fd = -1; /* poll passes over it */
    }
    int status = 0;
    for (int tries = 0; status != 200 && tries < 10000; tries++) {
        AUTO_BUF struct buf body = {0}, rest = {0};
        AUTO_CLOSE int fd = dial(&world);
        say_post(fd, PART, PART);
        status = hear(fd, &rest, &body);
    }
    assert_int_equal(status, 200);
    AUTO_BUF struct buf rest = {0};
    expect(fds[next_answered(fds, N)].fd, &rest, 503, "\"detail\":");
    for (int i = 0; i < N; i++)
        if (fds[i].fd >= 0)
            close(fds[i].fd);
    world_close(&world);
}

/* request_ms bounds a head, a body and an answer; idle_ms what comes between. */
static void late_clients_are_dropped(void **state)
{
    (void)state;
    struct world world;
    AUTO_BUF struct buf rest = {0}, late = {0};
    world_init(&world);
    struct deadlines short_ones = {.request_ms = 300, .idle_ms = 300};
    assert_int_equal(open_server_with(&world, 1, 100, 0, &short_ones), 0);
    AUTO_CLOSE int head = dial(&world), body = dial(&world), idle = dial(&world), answer = dial(&world);
    say(head, STR("GET /echo/x HTT"));
    say_post(body, 20000, 19999);
    say(answer, GET("/never"));
    assert_true(has_ended(head));
    expect(body, &rest, 408, "\"detail\":");
    assert_true(world.refused == 1 && world.refused_with == -ERR_TOO_SLOW && world.refused_bytes == 20000); /* and not the head alone */
    assert_true(has_ended(idle));
    expect(answer, &late, 503, "\"error\":");
    world_close(&world);
}

/* Answers that nobody reads hold no more than their share, and not for longer than request_ms. */
static void unread_answers_are_bounded(void **state)
{
    (void)state;
    enum { N = 20 };
    struct world world;
    int fds[N];
    int small = 4096;
    world_init(&world);
    struct deadlines deadlines = {.request_ms = 400, .idle_ms = 60000};
    assert_int_equal(open_server_with(&world, 1, 100, 0, &deadlines), 0);
    for (int i = 0; i < N; i++) {
        fds[i] = dial(&world);
        assert_int_equal(setsockopt(fds[i], SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
        for (int k = 0; k < 10; k++) {
            say(fds[i], GET("/large"));
            say(fds[i], GET("/reserved"));
        }
    }
    AUTO_CLOSE int fd = dial(&world);
    int status = 0;
    for (int tries = 0; status != 200 && tries < 100000; tries++) { /* their time is over at some moment */
        AUTO_BUF struct buf body = {0}, rest = {0};
        say(fd, tries % 2 ? GET("/large") : GET("/reserved"));
        status = hear(fd, &rest, &body);
        if (status != 200 && status != 503) { /* its own time was over: the machine is slow */
            close(fd);
            fd = dial(&world);
        }
    }
    assert_int_equal(status, 200);
    assert_true(world.no_room > 0);
    for (int i = 0; i < N; i++)
        close(fds[i]);
    world_close(&world);
}

/* Beyond connections_max a connection is not taken until another one ends. */
static void connections_are_bounded(void **state)
{
    (void)state;
    struct world world;
    AUTO_BUF struct buf rest = {0}, other_rest = {0};
    world_open(&world, 1, 1);
    int first = dial(&world);
    say(first, GET("/echo/1"));
    expect(first, &rest, 200, "\"1\"");
    AUTO_CLOSE int second = dial(&world);
    say(second, GET("/echo/2"));
    for (int i = 0; i < 20; i++) { /* the loop goes round, and the second is still not heard */
        say(first, GET("/echo/1"));
        expect(first, &rest, 200, "\"1\"");
    }
    assert_int_equal(world.handled, 21);
    close(first);
    expect(second, &other_rest, 200, "\"2\"");
    world_close(&world);
}

static void *close_server(void *arg)
{
    http_server_close(((struct world *)arg)->server, LONG_GRACE_MS);
    return NULL;
}

/* Closing lets a request under way finish, and ends idle connections at once. */
static void closing_finishes_requests(void **state)
{
    (void)state;
    struct world world;
    pthread_t closer;
    AUTO_BUF struct buf rest = {0}, idle_rest = {0};
    world_open(&world, 1, 100);
    AUTO_CLOSE int busy = dial(&world);
    AUTO_CLOSE int idle = dial(&world);
    say(idle, GET("/echo/x"));
    expect(idle, &idle_rest, 200, "\"x\"");
    say(busy, GET("/later"));
    sem_wait(&world.job_runs);
    assert_int_equal(pthread_create(&closer, NULL, close_server, &world), 0);
    expect_end(idle, &idle_rest); /* so it is closing */
    sem_post(&world.job_may_end);
    expect(busy, &rest, 200, "done");
    expect_end(busy, &rest);
    pthread_join(closer, NULL);
    assert_int_equal(world.handled, world.disposed);
    world_done(&world);
}

/* A request that nobody answers gets 503 when the grace is over; one whose job is late is answered then too, and the job is waited for. */
static void closing_ends_what_does_not_finish(void **state)
{
    (void)state;
    struct world world;
    AUTO_BUF struct buf rest = {0}, late_rest = {0}, part_rest = {0};
    world_open(&world, 1, 100);
    AUTO_CLOSE int fd = dial(&world);
    AUTO_CLOSE int late = dial(&world);
    AUTO_CLOSE int part = dial(&world);
    say(part, STR("POST /api/1/x/ HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\nab"));
    say(fd, GET("/never"));
    sem_wait(&world.entered);
    say(late, GET("/later"));
    sem_wait(&world.job_runs);
    sem_post(&world.job_may_end);
    http_server_close(world.server, 0);
    expect(fd, &rest, 503, "shutting down");
    expect_end(fd, &rest);
    AUTO_BUF struct buf body = {0};
    int status = hear(late, &late_rest, &body);
    assert_true(status == 503 || status == 200); /* whichever came first */
    expect_end(part, &part_rest);
    assert_int_equal(world.handled, world.disposed);
    assert_int_equal(world.started, world.stopped);
    world_done(&world);
}

static void failing_starts_leave_nothing_behind(void **state)
{
    (void)state;
    for (int at = 1; at <= 3; at++) {
        struct world world;
        world_init(&world);
        world.fail_start_at = at;
        assert_int_equal(open_server(&world, 3, 100, 0), -ENOSPC);
        assert_int_equal(world.started, at);
        assert_int_equal(world.stopped, at - 1);
        world_done(&world);
    }
}

static void taken_ports_are_refused(void **state)
{
    (void)state;
    struct world world, second;
    world_open(&world, 2, 100);
    world_init(&second);
    assert_int_equal(open_server(&second, 2, 100, http_server_port(world.server)), -EADDRINUSE);
    world_done(&second);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_on_one_connection),
        cmocka_unit_test(refuses_smuggled_requests),
        cmocka_unit_test(refuses_what_is_too_large),
        cmocka_unit_test(says_what_no_handler_sees),
        cmocka_unit_test(reads_json_bodies),
        cmocka_unit_test(answers_without_a_database),
        cmocka_unit_test(jobs_come_home),
        cmocka_unit_test(clients_may_leave),
        cmocka_unit_test(bytes_in_flight_are_bounded),
        cmocka_unit_test(stalled_bodies_make_room),
        cmocka_unit_test(late_clients_are_dropped),
        cmocka_unit_test(unread_answers_are_bounded),
        cmocka_unit_test(connections_are_bounded),
        cmocka_unit_test(closing_finishes_requests),
        cmocka_unit_test(closing_ends_what_does_not_finish),
        cmocka_unit_test(failing_starts_leave_nothing_behind),
        cmocka_unit_test(taken_ports_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
