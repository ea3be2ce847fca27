/* slow.c: clients that hold on to a server without using it.
 *
 *   slow [-H N] [-B N] [-D N] [-g "GET target"]... [-a "Header: value"] [-s SECONDS] DSN
 *
 *   -H  clients that send one byte a second of a request's head
 *   -B  clients that announce 20 MiB of body and send 16 KiB a second of it
 *   -D  clients that ask (-g, with the header -a) again and again and never read an answer; of several -g each client has one, in turns
 *
 * A client whose connection ends makes a new one. Runs until SIGINT or for SECONDS, then prints as JSON what it met: connections made, refused
 * and ended by the server, the statuses that heads and bodies were answered with; of those that never read, how many had an unread answer of which
 * status before them at the end of a second (the most at once), looked at without reading it. One thread; a tick of 100 ms serves a tenth of the clients. */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

#include <uv.h>

#include "picket/base/buf.h"
#include "picket/json/json.h"
#include "picket/protocol/dsn.h"

enum {
    TICK_MS = 100,
    TICKS_PER_S = 10,
    BODY_BYTES = 20 << 20,
    BODY_STEP = 16 << 10,
    CLIENTS_MAX = 30000,
    ASKS = 64,
    TARGETS_MAX = 8,
    STATUS_MAX = 600,
    DEAF_BUFFER = 4096
};

enum kind { SLOW_HEAD, SLOW_BODY, DEAF };

struct client {
    struct crowd *crowd;
    enum kind kind;
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t write;
    bool open, writing, connected;
    size_t sent;
    char answer[16]; /* the status line's beginning */
    size_t answer_n;
};

struct crowd {
    uv_loop_t loop;
    uv_timer_t tick;
    uv_signal_t interrupt;
    struct sockaddr_in address;
    struct buf head, body_head, filler;
    const char *targets[TARGETS_MAX];
    struct buf asks[TARGETS_MAX]; /* of n_targets */
    unsigned n_targets;
    struct client *clients;
    unsigned n, ticks, max_ticks;
    uint64_t made, failed, ended, statuses[STATUS_MAX], unread[STATUS_MAX];
};

static void on_closed(uv_handle_t *handle)
{
    struct client *c = container_of((uv_tcp_t *)handle, struct client, tcp);
    c->open = false;
}

static void hang_up(struct client *c)
{
    uint64_t status;
    if (uv_is_closing((uv_handle_t *)&c->tcp))
        return;
    c->crowd->ended += c->connected;
    if (c->answer_n >= 12 && str_to_u64(str_of(c->answer + 9, 3), &status) && status < STATUS_MAX)
        c->crowd->statuses[status]++;
    uv_close((uv_handle_t *)&c->tcp, on_closed);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    static char scratch[4096];
    (void)handle;
    (void)suggested;
    *ret = uv_buf_init(scratch, sizeof scratch);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct client *c = container_of((uv_tcp_t *)stream, struct client, tcp);
    for (ssize_t i = 0; i < n && c->answer_n < sizeof c->answer; i++)
        c->answer[c->answer_n++] = buf->base[i];
    if (n < 0)
        hang_up(c);
}

static void on_written(uv_write_t *write, int status)
{
    struct client *c = container_of(write, struct client, write);
    c->writing = false;
    if (status < 0)
        hang_up(c);
}

static void send_bytes(struct client *c, struct str s)
{
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)s.p, (unsigned)s.n);
    if (c->writing || s.n == 0)
        return;
    c->writing = true;
    c->sent += s.n;
    if (uv_write(&c->write, (uv_stream_t *)&c->tcp, &buf, 1, on_written) < 0)
        hang_up(c);
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct client *c = container_of(connect, struct client, connect);
    int small = DEAF_BUFFER;
    if (status < 0) {
        c->crowd->failed++;
        hang_up(c);
        return;
    }
    c->connected = true;
    c->crowd->made++;
    if (c->kind == DEAF)
        (void)uv_recv_buffer_size((uv_handle_t *)&c->tcp, &small);
    else if (uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) < 0)
        hang_up(c);
}

static void dial(struct client *c)
{
    c->open = true;
    c->connected = false;
    c->sent = c->answer_n = 0;
    int r = uv_tcp_init(&c->crowd->loop, &c->tcp);
    assert(r == 0);
    if (uv_tcp_connect(&c->connect, &c->tcp, (const struct sockaddr *)&c->crowd->address, on_connected) < 0) {
        c->crowd->failed++;
        hang_up(c);
    }
}

static void act(struct client *c)
{
    struct crowd *w = c->crowd;
    if (!c->open) {
        dial(c);
        return;
    }
    if (!c->connected || uv_is_closing((uv_handle_t *)&c->tcp))
        return;
    switch (c->kind) {
    case SLOW_HEAD:
        send_bytes(c, c->sent < w->head.n ? str_take(str_drop(buf_str(&w->head), c->sent), 1) : STR("x"));
        return;
    case SLOW_BODY:
        send_bytes(c, c->sent == 0 ? buf_str(&w->body_head) : str_take(buf_str(&w->filler), BODY_STEP));
        return;
    case DEAF:
        send_bytes(c, buf_str(&w->asks[(size_t)(c - w->clients) % w->n_targets]));
        return;
    }
}

/* The status of what lies before a client that does not read; it stays there. */
static bool look(const struct client *c, uint64_t *ret)
{
    char line[12];
    uv_os_fd_t fd;
    return c->kind == DEAF && c->connected && !uv_is_closing((const uv_handle_t *)&c->tcp) &&
           uv_fileno((const uv_handle_t *)&c->tcp, &fd) == 0 &&
           recv(fd, line, sizeof line, MSG_PEEK | MSG_DONTWAIT) == (ssize_t)sizeof line && str_to_u64(str_of(line + 9, 3), ret) &&
           *ret < STATUS_MAX;
}

static void look_at_all(struct crowd *w)
{
    uint64_t now[STATUS_MAX] = {0}, status;
    for (unsigned i = 0; i < w->n; i++)
        if (look(&w->clients[i], &status))
            now[status]++;
    for (unsigned i = 0; i < STATUS_MAX; i++)
        w->unread[i] = now[i] > w->unread[i] ? now[i] : w->unread[i];
}

static void on_tick(uv_timer_t *timer)
{
    struct crowd *w = container_of(timer, struct crowd, tick);
    if (w->ticks % TICKS_PER_S == TICKS_PER_S - 1)
        look_at_all(w);
    for (unsigned i = w->ticks % TICKS_PER_S; i < w->n; i += TICKS_PER_S)
        act(&w->clients[i]);
    if (++w->ticks == w->max_ticks)
        uv_stop(&w->loop);
}

static void on_interrupt(uv_signal_t *handle, int number)
{
    (void)number;
    uv_stop(handle->loop);
}

static void report_statuses(struct json_writer *j, struct str name, const uint64_t statuses[STATUS_MAX])
{
    json_key(j, name);
    json_begin_object(j);
    for (unsigned i = 0; i < STATUS_MAX; i++) {
        char status[8];
        if (statuses[i])
            json_field_i64(j, str_of(status, (size_t)snprintf(status, sizeof status, "%u", i)), (int64_t)statuses[i]);
    }
    json_end_object(j);
}

static void report(const struct crowd *w)
{
    unsigned open = 0;
    AUTO_BUF struct buf out = {0};
    struct json_writer j;
    for (unsigned i = 0; i < w->n; i++)
        open += w->clients[i].connected && w->clients[i].open;
    json_writer_init(&j, &out);
    json_begin_object(&j);
    json_field_i64(&j, STR("made"), (int64_t)w->made);
    json_field_i64(&j, STR("failed"), (int64_t)w->failed);
    json_field_i64(&j, STR("ended"), (int64_t)w->ended);
    json_field_i64(&j, STR("open"), open);
    report_statuses(&j, STR("statuses"), w->statuses);
    report_statuses(&j, STR("unread"), w->unread);
    json_end_object(&j);
    puts(buf_cstr(&out));
}

static void prepare(struct crowd *w, const struct dsn *dsn, const char *header)
{
    char key[ID_HEX + 1];
    id_hex(&dsn->key, key);
    buf_printf(&w->head, "POST /api/%" PRIu64 "/envelope/ HTTP/1.1\r\nHost: localhost\r\nX-Sentry-Auth: Sentry sentry_key=%s\r\nX-Slow: ",
               dsn->project_id, key);
    buf_printf(&w->body_head,
               "POST /api/%" PRIu64
               "/envelope/ HTTP/1.1\r\nHost: localhost\r\nX-Sentry-Auth: Sentry sentry_key=%s\r\nContent-Length: %d\r\n\r\n",
               dsn->project_id, key, BODY_BYTES);
    for (int i = 0; i < ASKS; i++)
        for (unsigned t = 0; t < w->n_targets; t++)
            buf_printf(&w->asks[t], "%s HTTP/1.1\r\nHost: localhost\r\n%s%s\r\n", w->targets[t], header ? header : "",
                       header ? "\r\n" : "");
    while (w->filler.n < BODY_STEP)
        buf_append_char(&w->filler, 'x');
}

static void usage(void)
{
    (void)fputs("usage: slow [-H heads] [-B bodies] [-D deaf] [-g \"GET /health\"]... [-a \"Header: value\"] [-s seconds] DSN\n", stderr);
    exit(2);
}

static unsigned number(const char *s)
{
    uint64_t v;
    if (!str_to_u64(str_from(s), &v) || v > CLIENTS_MAX)
        usage();
    return (unsigned)v;
}

/* What is missing shows as connections that failed. */
static void raise_file_limit(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return;
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
}

int main(int argc, char **argv)
{
    static struct crowd w;
    unsigned n[DEAF + 1] = {0};
    const char *header = NULL;
    struct dsn dsn;
    uint64_t port;
    for (int o; (o = getopt(argc, argv, "H:B:D:g:a:s:")) != -1;) {
        switch (o) {
        case 'H':
            n[SLOW_HEAD] = number(optarg);
            break;
        case 'B':
            n[SLOW_BODY] = number(optarg);
            break;
        case 'D':
            n[DEAF] = number(optarg);
            break;
        case 'g':
            if (w.n_targets == TARGETS_MAX)
                usage();
            w.targets[w.n_targets++] = optarg;
            break;
        case 'a':
            header = optarg;
            break;
        case 's':
            w.max_ticks = number(optarg) * TICKS_PER_S;
            break;
        default:
            usage();
        }
    }
    if (optind + 1 != argc || dsn_parse(str_from(argv[optind]), &dsn) < 0)
        usage();
    struct str rest = dsn.authority;
    (void)str_cut(&rest, ':');
    if (!str_to_u64(rest, &port) || port > UINT16_MAX)
        usage();
    signal(SIGPIPE, SIG_IGN);
    raise_file_limit();
    if (w.n_targets == 0)
        w.targets[w.n_targets++] = "GET /health";
    prepare(&w, &dsn, header);
    w.n = n[SLOW_HEAD] + n[SLOW_BODY] + n[DEAF];
    w.clients = calloc(w.n ? w.n : 1, sizeof *w.clients);
    if (!w.clients || uv_loop_init(&w.loop) < 0 || uv_ip4_addr("127.0.0.1", (int)port, &w.address) < 0)
        abort();
    for (unsigned i = 0; i < w.n; i++)
        w.clients[i] = (struct client){.crowd = &w,
                                       .kind = i < n[SLOW_HEAD]                  ? SLOW_HEAD
                                               : i < n[SLOW_HEAD] + n[SLOW_BODY] ? SLOW_BODY
                                                                                 : DEAF};
    uv_timer_init(&w.loop, &w.tick);
    uv_timer_start(&w.tick, on_tick, 0, TICK_MS);
    uv_signal_init(&w.loop, &w.interrupt);
    uv_signal_start(&w.interrupt, on_interrupt, SIGINT);
    uv_run(&w.loop, UV_RUN_DEFAULT);
    report(&w);
    return 0;
}
