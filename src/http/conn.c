/* conn.c: connections: how they are taken, watched and ended.
 *
 *   IDLE (between requests) → READING (a head or a body is arriving) → WORKING (until the answer is written) → IDLE
 *
 * Taking. Each worker takes its share of connections_max; beyond it a new connection is left in libuv's hands, which stops polling the
 * listener until uv_accept is called again: it waits in the kernel's queue.
 *
 * Watching. Once in a while, and at least once a second, a worker goes through its connections and requests:
 *   IDLE     longer than idle_ms: closed
 *   READING  longer than request_ms: 408 and closed, or just closed if not even the head is there
 *   WORKING  and not answered after request_ms: 503; what the handler started is cancelled when the request ends
 *            and the client takes less than STALLED_MIN bytes of the answer in request_ms: cut
 * While connections wait to be taken, or unread answers hold too much memory, patience is an eighth of that: whoever holds a place
 * without using it makes room. Of many that are late at once WATCH_BATCH are ended, then others get their turn. libh2o has one timer for idling and reading; it is set so long that it never decides.
 *
 * Ending early. A socket that is closed while bytes of the client lie in it makes the kernel send a reset, which overtakes the answer: the
 * client would never learn that it is to come back later. So after a refusal the sending side alone is closed, and what comes is read
 * and thrown away until the client ends it or LINGER_MS are over (RFC 9112 §9.6). */
#include "internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "picket/base/clock.h"
#include "picket/base/log.h"

enum {
    WATCH_MS = 1000,
    WATCH_BATCH = 100,
    WATCH_AGAIN_MS = 20,
    STALLED_MIN = 64 << 10,
    STALLED_WRITE_MS = 30000,
    LINGER_MS = 2000,
    LINGERS_MAX = 256,
    IMPATIENCE = 8,
    SEND_BUFFER = 128 << 10
};

/* A connection's socket after libh2o is done with it. Heap. */
struct lingering {
    uv_tcp_t tcp;
    struct worker *worker;
    struct list link; /* worker->lingerings until it is closed */
    uint64_t until_ms;
};

void conn_set_phase(struct conn *c, enum conn_phase to)
{
    static const unsigned edges[] = {
        [CONN_IDLE] = 1u << CONN_IDLE | 1u << CONN_READING,
        [CONN_READING] = 1u << CONN_WORKING,
        [CONN_WORKING] = 1u << CONN_IDLE | 1u << CONN_READING,
    };
    assert(edges[c->phase] & 1u << to);
    c->phase = to;
    c->since_ms = uv_now(&c->worker->loop);
    c->unsent = 0;
}

void conn_cut(struct conn *c, int how)
{
    uv_os_fd_t fd;
    if (uv_fileno((uv_handle_t *)&c->tcp, &fd) == 0)
        (void)shutdown(fd, how); /* ENOTCONN: the peer was faster */
}

void conn_drop(struct conn *c)
{
    if (h2o_socket_is_reading(c->sock))
        c->sock->_cb.read(c->sock, h2o_socket_error_closed); /* what libh2o is told when the peer is gone */
    else
        conn_cut(c, SHUT_RDWR);
}

/* ---- lingering */

static void lingering_closed(uv_handle_t *handle)
{
    free(container_of((uv_tcp_t *)handle, struct lingering, tcp));
}

static void lingering_end(struct lingering *l)
{
    if (uv_is_closing((uv_handle_t *)&l->tcp))
        return;
    list_remove(&l->link);
    l->worker->n_lingerings--;
    uv_close((uv_handle_t *)&l->tcp, lingering_closed);
}

static void lingering_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct lingering *l = container_of((uv_tcp_t *)handle, struct lingering, tcp);
    (void)suggested;
    *ret = uv_buf_init(l->worker->thrown_away, sizeof l->worker->thrown_away);
}

static void lingering_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    (void)buf;
    if (n < 0)
        lingering_end(container_of((uv_tcp_t *)stream, struct lingering, tcp));
}

/* Called while libh2o closes its socket, so the descriptor is duplicated: libuv has both in its hands for a moment, but polls one of them. */
static void linger(struct conn *c)
{
    struct worker *w = c->worker;
    uv_os_fd_t fd;
    if (w->state != WORKER_SERVING || w->n_lingerings >= LINGERS_MAX || uv_fileno((uv_handle_t *)&c->tcp, &fd) != 0)
        return;
    AUTO_CLOSE int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    struct lingering *l = copy < 0 ? NULL : calloc(1, sizeof *l);
    if (!l)
        return;
    int r = uv_tcp_init(&w->loop, &l->tcp);
    assert(r == 0);
    l->worker = w;
    l->until_ms = uv_now(&w->loop) + LINGER_MS;
    list_push_back(&w->lingerings, &l->link);
    w->n_lingerings++;
    uv_read_stop((uv_stream_t *)&c->tcp);
    if (uv_tcp_open(&l->tcp, copy) == 0)
        (void)TAKE_FD(copy);
    (void)shutdown(fd, SHUT_WR);
    if (copy >= 0 || uv_read_start((uv_stream_t *)&l->tcp, lingering_alloc, lingering_read) < 0)
        lingering_end(l);
}

void conns_end_lingering(struct worker *w)
{
    LIST_EACH_SAFE(&w->lingerings, it)
        lingering_end(container_of(it, struct lingering, link));
}

/* ---- taking and ending */

static void accept_one(struct worker *w);

static void conn_closed(uv_handle_t *handle)
{
    struct conn *c = container_of((uv_tcp_t *)handle, struct conn, tcp);
    struct worker *w = c->worker;
    list_remove(&c->link);
    free(c);
    w->n_conns--;
    metric_set(&w->counts->connections, w->n_conns);
    if (w->accept_waits && w->state == WORKER_SERVING) {
        w->accept_waits = false;
        accept_one(w);
    }
    worker_drained_maybe(w);
}

static void conn_closing(void *arg)
{
    struct conn *c = arg;
    list_remove(&c->link);
    intake_release(c);
    if (c->lingers)
        linger(c);
}

static void accept_one(struct worker *w)
{
    struct conn *c = calloc(1, sizeof *c);
    if (!c)
        abort();
    c->worker = w;
    c->since_ms = uv_now(&w->loop);
    list_init(&c->link);
    list_init(&c->growing);
    w->n_conns++;
    metric_set(&w->counts->connections, w->n_conns);
    metric_add(&w->counts->accepted, 1);
    int r = uv_tcp_init(&w->loop, &c->tcp);
    assert(r == 0);
    if (uv_accept((uv_stream_t *)&w->listener, (uv_stream_t *)&c->tcp) != 0) {
        uv_close((uv_handle_t *)&c->tcp, conn_closed);
        return;
    }
    uv_os_fd_t fd;
    unsigned stalled_ms = STALLED_WRITE_MS;
    int send_buffer = SEND_BUFFER;
    if (uv_fileno((uv_handle_t *)&c->tcp, &fd) == 0) {
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof send_buffer); /* else it may grow to megabytes that nobody reads */
        (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &stalled_ms,
                         sizeof stalled_ms); /* for what the kernel holds when we are done */
        (void)uv_tcp_nodelay(&c->tcp, 1);
    }
    c->sock = h2o_uv_socket_create((uv_stream_t *)&c->tcp, conn_closed);
    c->sock->on_close.cb = conn_closing;
    c->sock->on_close.data = c;
    list_push_back(&w->conns, &c->link);
    struct sockaddr_storage peer;
    (void)h2o_socket_getpeername(c->sock,
                                 (struct sockaddr *)&peer); /* remembered by libh2o: a peer that has reset by then would be unknown */
    h2o_accept(&w->accept, c->sock);
}

void conns_on_connection(uv_stream_t *listener, int status)
{
    struct worker *w = container_of((uv_tcp_t *)listener, struct worker, listener);
    if (status != 0)
        return;
    if (w->n_conns >= w->conns_max)
        w->accept_waits = true;
    else
        accept_one(w);
}

/* ---- watching */

static void watch_working(struct conn *c, uint64_t now, uint64_t patience_ms)
{
    size_t unsent = uv_stream_get_write_queue_size((uv_stream_t *)&c->tcp);
    if (!h2o_socket_is_writing(c->sock))
        return;
    if (c->unsent == 0 || unsent + STALLED_MIN <= c->unsent) {
        c->unsent = unsent ? unsent : 1;
        c->since_ms = now;
    } else if (now - c->since_ms >= patience_ms) {
        conn_cut(c, SHUT_RDWR);
        c->since_ms = now;
        c->worker->shed++;
    }
}

/* True: it was ended. */
static bool watch_conn(struct conn *c, uint64_t now, uint64_t request_ms, uint64_t idle_ms)
{
    uint64_t age_ms = now - c->since_ms;
    switch (c->phase) {
    case CONN_IDLE:
        if (age_ms < idle_ms)
            return false;
        conn_drop(c);
        return true;
    case CONN_READING:
        if (age_ms < request_ms)
            return false;
        intake_refuse(c, 408);
        return true;
    case CONN_WORKING:
        watch_working(c, now, request_ms);
        break;
    }
    return false;
}

static void watch_calls(struct worker *w)
{
    int64_t due_us = clock_mono_us() - (int64_t)w->pub.server->config.request_ms * 1000;
    LIST_EACH_SAFE(&w->calls, it) {
        struct call *call = container_of(it, struct call, link);
        if (call->began_mono_us > due_us)
            break; /* they began in the order of the list */
        if (!call->answered)
            http_answer_error(&call->pub, -ERR_BUSY, STR("the answer took too long"));
    }
}

static void complain(struct worker *w)
{
    if (w->shed)
        log_line(LOG_WARN, "slow connections were shed", "count=%u connections=%u", w->shed, w->n_conns);
    w->shed = 0;
}

static void on_watch(uv_timer_t *timer)
{
    struct worker *w = container_of(timer, struct worker, watch);
    const struct http_config *config = &w->pub.server->config;
    bool tight = w->accept_waits || atomic_load(&w->pub.server->answer_bytes) > answers_max(w->pub.server) / 2;
    unsigned haste = tight ? IMPATIENCE : 1;
    uint64_t now = uv_now(&w->loop);
    unsigned ended = 0;
    LIST_EACH_SAFE(&w->conns, it) {
        ended += watch_conn(container_of(it, struct conn, link), now, config->request_ms / haste, config->idle_ms / haste);
        if (ended == WATCH_BATCH)
            break;
    }
    LIST_EACH_SAFE(&w->lingerings, it) {
        struct lingering *l = container_of(it, struct lingering, link);
        if (now >= l->until_ms)
            lingering_end(l);
    }
    watch_calls(w);
    if (ended == WATCH_BATCH) {
        uv_timer_start(timer, on_watch, WATCH_AGAIN_MS, WATCH_AGAIN_MS);
        return;
    }
    complain(w);
    conns_watch(w);
}

void conns_watch(struct worker *w)
{
    const struct http_config *config = &w->pub.server->config;
    uint64_t shorter = config->request_ms < config->idle_ms ? config->request_ms : config->idle_ms;
    uint64_t every = shorter / IMPATIENCE < WATCH_MS ? shorter / IMPATIENCE + 1 : WATCH_MS;
    uv_timer_start(&w->watch, on_watch, every, every);
}
