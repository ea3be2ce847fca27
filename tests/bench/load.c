/* load.c: a load generator that writes down what it was promised.
 *
 *   load [options] DSN...          see usage() for the options
 *
 * Each connection has one request under way. Every event has an id of its own (a random salt and a counter); an id whose 200 was read to
 * its end goes to the file of --ids, and only such an id: whoever kills the server afterwards compares that file with the rows. An id that
 * was sent and never answered is counted as unknown: it may have been stored. --repeat sends ids again that were sent before, so that a
 * test can count what is stored twice.
 *
 * Without --rate the loop is closed: a connection sends when its answer is there, after a refusal when --pause is over, so that a server that is
 * busy is asked for what it can take and not for refusals. With --rate it is open: events are due at fixed times
 * whatever the server does, and the latency counts from when an event was due, so a server that stalls cannot hide it (coordinated
 * omission). A connection that is lost is made again after RECONNECT_MS, for as long as the run lasts: a server under test comes and goes.
 *
 * What is due when the run ends and was never sent has waited until then: it counts as `overdue`, and in the latencies.
 *
 * What an event looks like is body.c. With --dsns requests, not connections, take the DSNs in turns: a thousand projects on 64 connections.
 *
 * One thread. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

#include <uv.h>

#include "picket/base/buf.h"
#include "picket/base/clock.h"
#include "picket/base/id.h"
#include "picket/base/list.h"
#include "picket/json/json.h"
#include "picket/protocol/dsn.h"

#include "body.h"
#include "histogram.h"

enum {
    TICK_MS = 10,
    RECONNECT_MS = 50,
    TARGETS_MAX = 100000,
    CONNECTIONS_MAX = 20000,
    RECENT = 4096,
    HEAD_MAX = 16 * 1024,
    STATUS_MAX = 600,
};

struct options {
    unsigned connections, repeat_percent;
    struct body_options body;
    uint64_t events; /* 0: no bound */
    double seconds;  /* 0: no bound */
    double rate;     /* per second; 0: closed loop */
    double timeout_s;
    double pause_ms; /* of a connection that was refused, in a closed loop */
    const char *ids;
    const char *dsns; /* a file of them */
    bool unknown;     /* a key of its own for each request */
    bool any_answer;  /* a 200 need not name the event: of a server that does not know what it got */
    bool json;
};

struct target {
    struct dsn dsn;
    struct sockaddr_in address;
    struct buf head; /* request line and headers, up to the value of Content-Length */
    size_t key_at;   /* in it */
};

enum conn_state { CONN_DOWN, CONN_CONNECTING, CONN_IDLE, CONN_WAITING, CONN_CLOSING };
struct conn {
    struct list link; /* on load.idle while CONN_IDLE */
    struct load *load;
    const struct target *target;
    enum conn_state state;
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t write;
    bool writing;
    struct buf head, body, answer;
    struct id128 id;
    int64_t due_us, sent_us;
    int64_t retry_us; /* down: when to connect; idle: when the pause is over */
};

struct load {
    struct options options;
    uv_loop_t loop;
    uv_timer_t tick;
    uv_signal_t interrupt[2];
    struct target *targets;
    unsigned n_targets;
    struct buf dsns; /* the file's text: targets borrow from it */
    struct conn *conns;
    struct list idle;
    FILE *ids;
    struct bodies *bodies;
    uint64_t body_bytes; /* of all that were sent */
    struct id128 salt;
    uint64_t recent[RECENT]; /* counters of ids that were sent */
    uint64_t issued, answered, unknown, lost, repeated, without_retry_after, bad_answers;
    uint64_t statuses[STATUS_MAX];
    uint64_t overdue;
    struct histogram latencies;
    int64_t start_us, stop_us, progress_us;
    uint64_t progress_answered;
    int64_t looked_us; /* when look_after() went over all connections */
    bool stopping;
};

/* ---- one event */

/* The salt with the counter in its last eight bytes. */
static struct id128 id_of(const struct load *l, uint64_t counter)
{
    struct id128 id = l->salt;
    for (unsigned i = 0; i < 8; i++)
        id.b[15 - i] = (uint8_t)(counter >> 8 * i);
    return id;
}

static uint64_t choose_counter(struct load *l)
{
    if (l->options.repeat_percent && l->issued > 0) {
        uint32_t dice[2];
        random_bytes(dice, sizeof dice);
        if (dice[0] % 100 < l->options.repeat_percent) {
            l->repeated++;
            return l->recent[dice[1] % (l->issued < RECENT ? l->issued : RECENT)];
        }
    }
    return l->issued + 1;
}

static void make_request(struct load *l, struct conn *c)
{
    char hex[ID_HEX + 1];
    uint64_t counter = choose_counter(l);
    l->recent[l->issued++ % RECENT] = counter;
    c->id = id_of(l, counter);
    id_hex(&c->id, hex);
    if (l->options.dsns)
        c->target = &l->targets[l->issued % l->n_targets];
    buf_clear(&c->body);
    bodies_make(l->bodies, counter, &c->id, &c->body);
    l->body_bytes += c->body.n;
    buf_clear(&c->head);
    buf_append_str(&c->head, buf_str(&c->target->head));
    if (l->options.unknown) /* the id is as new as a key can be */
        memcpy(c->head.p + c->target->key_at, hex, ID_HEX);
    buf_printf(&c->head, "%zu\r\n\r\n", c->body.n);
}

/* ---- connections */

static void on_readable(uv_stream_t *stream, ssize_t n, const uv_buf_t *read);

static bool more_to_send(const struct load *l)
{
    return !l->stopping && (l->options.events == 0 || l->issued < l->options.events);
}

static void on_closed(uv_handle_t *handle)
{
    struct conn *c = container_of((uv_tcp_t *)handle, struct conn, tcp);
    c->state = CONN_DOWN;
    c->retry_us = clock_mono_us() + RECONNECT_MS * 1000;
}

static void lose(struct conn *c)
{
    if (c->state == CONN_CLOSING || c->state == CONN_DOWN)
        return;
    if (c->state == CONN_WAITING)
        c->load->unknown++;
    if (more_to_send(c->load) && c->state != CONN_CONNECTING)
        c->load->lost++;
    list_remove(&c->link);
    c->state = CONN_CLOSING;
    uv_close((uv_handle_t *)&c->tcp, on_closed);
}

static void on_written(uv_write_t *write, int status)
{
    struct conn *c = container_of(write, struct conn, write);
    c->writing = false;
    if (status < 0)
        lose(c);
}

static void send_event(struct conn *c, int64_t due_us)
{
    assert(c->state == CONN_IDLE && !c->writing);
    list_remove(&c->link);
    make_request(c->load, c);
    c->state = CONN_WAITING;
    c->sent_us = clock_mono_us();
    c->due_us = due_us ? due_us : c->sent_us;
    buf_clear(&c->answer);
    uv_buf_t parts[] = {uv_buf_init(c->head.p, (unsigned)c->head.n), uv_buf_init(c->body.p, (unsigned)c->body.n)};
    c->writing = true;
    if (uv_write(&c->write, (uv_stream_t *)&c->tcp, parts, ARRAY_LEN(parts), on_written) < 0) {
        c->writing = false;
        lose(c);
    }
}

static void send_what_is_due(struct load *l, int64_t now)
{
    while (more_to_send(l)) {
        int64_t due_us = l->start_us + (int64_t)((double)l->issued * 1e6 / l->options.rate);
        struct list *first = list_first(&l->idle);
        if (due_us > now || !first)
            return;
        send_event(container_of(first, struct conn, link), due_us);
    }
}

/* Idle now: the next event at once (closed loop), when the pause is over, or when one is due. */
static void rest(struct conn *c, double pause_ms)
{
    struct load *l = c->load;
    c->state = CONN_IDLE;
    list_push_back(&l->idle, &c->link);
    if (l->options.rate > 0)
        send_what_is_due(l, clock_mono_us());
    else if (pause_ms > 0)
        c->retry_us = clock_mono_us() + (int64_t)(pause_ms * 1e3);
    else if (more_to_send(l))
        send_event(c, 0);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct conn *c = container_of((uv_tcp_t *)handle, struct conn, tcp);
    (void)suggested;
    buf_reserve(&c->answer, 4096);
    *ret = uv_buf_init(c->answer.p + c->answer.n, (unsigned)(c->answer.cap - c->answer.n));
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct conn *c = container_of(connect, struct conn, connect);
    if (c->state != CONN_CONNECTING)
        return;
    if (status < 0 || uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_readable) < 0) {
        lose(c);
        return;
    }
    (void)uv_tcp_nodelay(&c->tcp, 1); /* only a hint */
    rest(c, 0);
}

static void dial(struct conn *c)
{
    if (uv_tcp_init(&c->load->loop, &c->tcp) < 0)
        return;
    c->state = CONN_CONNECTING;
    if (uv_tcp_connect(&c->connect, &c->tcp, (const struct sockaddr *)&c->target->address, on_connected) < 0)
        lose(c);
}

/* ---- answers */

static struct str header_value(struct str head, struct str lower_case_name)
{
    while (head.p) {
        struct str value = str_cut(&head, '\n');
        struct str name = str_cut(&value, ':');
        if (str_eq_nocase(str_trim(name), lower_case_name))
            return str_trim(value);
    }
    return STR("");
}

/* The head and the length of the body. 1: both are there, 0: not all is there yet, -1: this is no answer that the server may give. */
static int answer_split(struct str answer, unsigned *ret_status, struct str *ret_head, struct str *ret_body)
{
    const char *end = answer.n ? memmem(answer.p, answer.n, "\r\n\r\n", 4) : NULL;
    if (!end)
        return answer.n > HEAD_MAX ? -1 : 0;
    struct str head = str_of(answer.p, (size_t)(end - answer.p));
    struct str rest = str_drop(answer, head.n + 4);
    uint64_t status, length;
    if (!str_starts(head, STR("HTTP/1.1 ")) || !str_to_u64(str_take(str_drop(head, 9), 3), &status) || status >= STATUS_MAX)
        return -1;
    if (!str_to_u64(header_value(head, STR("content-length")), &length))
        return -1;
    if (rest.n < length)
        return 0;
    *ret_status = (unsigned)status;
    *ret_head = head;
    *ret_body = str_take(rest, length);
    return 1;
}

static void promised(struct conn *c, struct str body)
{
    struct load *l = c->load;
    char hex[ID_HEX + 1];
    id_hex(&c->id, hex);
    if (!l->options.any_answer &&
        !memmem(body.p, body.n, hex, ID_HEX)) /* a 200 for another event would make every later comparison worthless */
        l->bad_answers++;
    else if (l->ids)
        (void)fprintf(l->ids, "%" PRIu64 " %s\n", c->target->dsn.project_id, hex); /* checked when it is closed */
}

static void on_answer(struct conn *c, unsigned status, struct str head, struct str body)
{
    struct load *l = c->load;
    uint64_t us = (uint64_t)(clock_mono_us() - c->due_us);
    l->answered++;
    l->statuses[status]++;
    histogram_note(&l->latencies, us);
    if (status == 200)
        promised(c, body);
    else if ((status == 429 || status == 503) && header_value(head, STR("retry-after")).n == 0)
        l->without_retry_after++;
    bool closes = str_eq_nocase(header_value(head, STR("connection")), STR("close"));
    buf_clear(&c->answer);
    if (closes) {
        c->state = CONN_IDLE; /* its answer is there */
        lose(c);
    } else {
        rest(c, status == 429 || status == 503 ? l->options.pause_ms : 0);
    }
}

static void on_readable(uv_stream_t *stream, ssize_t n, const uv_buf_t *read)
{
    (void)read;
    struct conn *c = container_of((uv_tcp_t *)stream, struct conn, tcp);
    if (n < 0) {
        lose(c);
        return;
    }
    c->answer.n += (size_t)n;
    if (c->state != CONN_WAITING) {
        if (n > 0)
            lose(c); /* an answer that nobody asked for: libh2o says so before it closes an idle connection */
        return;
    }
    unsigned status;
    struct str head, body;
    int r = answer_split(buf_str(&c->answer), &status, &head, &body);
    if (r < 0) {
        c->load->bad_answers++;
        lose(c);
    } else if (r == 1 && c->writing) {
        /* answered before all is known to be written: a refusal, or the answer was seen first; the connection is of no use */
        c->load->answered++;
        c->load->statuses[status]++;
        if (status == 200)
            promised(c, body);
        c->state = CONN_IDLE;
        lose(c);
    } else if (r == 1) {
        on_answer(c, status, head, body);
    }
}

/* ---- the run */

static void show_progress(struct load *l, int64_t now)
{
    if (now - l->progress_us < CLOCK_US_PER_S || !isatty(STDERR_FILENO))
        return;
    double rate = (double)(l->answered - l->progress_answered) * 1e6 / (double)(now - l->progress_us);
    double left = l->options.seconds > 0          ? l->options.seconds - (double)(now - l->start_us) / 1e6
                  : rate > 0 && l->options.events ? (double)(l->options.events - l->issued) / rate
                                                  : 0;
    (void)fprintf(stderr, "\r%" PRIu64 " answered, %.0f/s, %.0f s left   ", l->answered, rate, left > 0 ? left : 0);
    l->progress_us = now;
    l->progress_answered = l->answered;
}

/* True when all connections are down. */
static bool look_after(struct load *l, int64_t now)
{
    bool over = !more_to_send(l), all_down = true;
    for (unsigned i = 0; i < l->options.connections; i++) {
        struct conn *c = &l->conns[i];
        if (c->state == CONN_WAITING && now - c->sent_us > (int64_t)(l->options.timeout_s * 1e6))
            lose(c);
        else if (over && (c->state == CONN_IDLE || c->state == CONN_CONNECTING))
            lose(c);
        else if (!over && c->state == CONN_DOWN && now >= c->retry_us)
            dial(c);
        else if (c->state == CONN_IDLE && l->options.rate == 0 && now >= c->retry_us)
            send_event(c, 0);
        all_down = all_down && c->state == CONN_DOWN;
    }
    return over && all_down;
}

/* In an open loop what was due and never sent, because the answers before it did not come, has waited until now. */
static void end_sending(struct load *l, int64_t now)
{
    l->stop_us = now;
    if (l->options.rate == 0)
        return;
    uint64_t due = (uint64_t)((double)(now - l->start_us) * l->options.rate / 1e6);
    if (l->options.events && due > l->options.events)
        due = l->options.events;
    for (uint64_t n = l->issued; n < due; n++, l->overdue++)
        histogram_note(&l->latencies, (uint64_t)(now - l->start_us) - (uint64_t)((double)n * 1e6 / l->options.rate));
}

static void on_tick(uv_timer_t *timer)
{
    struct load *l = container_of(timer, struct load, tick);
    int64_t now = clock_mono_us();
    if (l->options.seconds > 0 && (double)(now - l->start_us) >= l->options.seconds * 1e6)
        l->stopping = true;
    if (!more_to_send(l) && !l->stop_us)
        end_sending(l, now);
    if (l->options.rate > 0)
        send_what_is_due(l, now);
    show_progress(l, now);
    if (now - l->looked_us < TICK_MS * 1000)
        return;
    l->looked_us = now;
    if (!look_after(l, now))
        return;
    uv_close((uv_handle_t *)&l->tick, NULL);
    for (size_t i = 0; i < ARRAY_LEN(l->interrupt); i++)
        uv_close((uv_handle_t *)&l->interrupt[i], NULL);
}

static void on_signal(uv_signal_t *signal, int number)
{
    struct load *l = signal->data; /* two of them */
    (void)number;
    l->stopping = true;
}

/* ---- result */

static double cpu_seconds(void)
{
    struct rusage u;
    (void)getrusage(RUSAGE_SELF, &u); /* cannot fail */
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void print_json(const struct load *l, double seconds)
{
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    json_writer_init(&w, &out);
    json_begin_object(&w);
    json_key(&w, STR("seconds")), json_put_f64(&w, seconds);
    json_field_i64(&w, STR("sent"), (int64_t)l->issued);
    json_field_i64(&w, STR("repeated"), (int64_t)l->repeated);
    json_field_i64(&w, STR("accepted"), (int64_t)l->statuses[200]);
    json_key(&w, STR("accepted_per_second")), json_put_f64(&w, (double)l->statuses[200] / seconds);
    json_key(&w, STR("statuses"));
    json_begin_object(&w);
    for (unsigned i = 0; i < STATUS_MAX; i++) {
        char text[8];
        if (l->statuses[i])
            json_field_i64(&w, str_of(text, (size_t)snprintf(text, sizeof text, "%u", i)), (int64_t)l->statuses[i]);
    }
    json_end_object(&w);
    json_field_i64(&w, STR("unknown"), (int64_t)l->unknown);
    json_field_i64(&w, STR("overdue"), (int64_t)l->overdue);
    json_field_i64(&w, STR("body_bytes"), l->issued ? (int64_t)(l->body_bytes / l->issued) : 0);
    json_key(&w, STR("cpu_seconds")), json_put_f64(&w, cpu_seconds());
    json_field_i64(&w, STR("lost_connections"), (int64_t)l->lost);
    json_field_i64(&w, STR("bad_answers"), (int64_t)l->bad_answers);
    json_field_i64(&w, STR("without_retry_after"), (int64_t)l->without_retry_after);
    json_key(&w, STR("latency_ms"));
    json_begin_object(&w);
    json_key(&w, STR("p50")), json_put_f64(&w, histogram_ms(&l->latencies, 0.5));
    json_key(&w, STR("p95")), json_put_f64(&w, histogram_ms(&l->latencies, 0.95));
    json_key(&w, STR("p99")), json_put_f64(&w, histogram_ms(&l->latencies, 0.99));
    json_key(&w, STR("p99.9")), json_put_f64(&w, histogram_ms(&l->latencies, 0.999));
    json_key(&w, STR("max")), json_put_f64(&w, histogram_ms(&l->latencies, 1));
    json_end_object(&w);
    json_end_object(&w);
    (void)printf("%.*s\n", STR_ARG(buf_str(&out)));
}

static void print_text(const struct load *l, double seconds)
{
    (void)printf("sent %" PRIu64 " in %.1f s, accepted %" PRIu64 " (%.0f/s)\n", l->issued, seconds, l->statuses[200],
                 (double)l->statuses[200] / seconds);
    for (unsigned i = 0; i < STATUS_MAX; i++)
        if (l->statuses[i] && i != 200)
            (void)printf("  status %u: %" PRIu64 "\n", i, l->statuses[i]);
    if (l->without_retry_after)
        (void)printf("  429 or 503 without Retry-After: %" PRIu64 "\n", l->without_retry_after);
    if (l->bad_answers)
        (void)printf("  answers that could not be read or named another event: %" PRIu64 "\n", l->bad_answers);
    (void)printf("never answered %" PRIu64 ", connections lost %" PRIu64 "\n", l->unknown, l->lost);
    (void)printf("latency ms: p50 %.2f, p95 %.2f, p99 %.2f, p99.9 %.2f, max %.2f\n", histogram_ms(&l->latencies, 0.5),
                 histogram_ms(&l->latencies, 0.95), histogram_ms(&l->latencies, 0.99), histogram_ms(&l->latencies, 0.999),
                 histogram_ms(&l->latencies, 1));
}

/* ---- start */

static void usage(FILE *to)
{
    (void)fputs("usage: load [options] DSN...      (http and 127.0.0.1 or another IPv4 address; connections take the DSNs in turns)\n"
                "  -c, --connections N  64     requests under way at once\n"
                "  -s, --seconds S      10     how long; 0: until --events or SIGINT\n"
                "  -n, --events N              stop after so many\n"
                "  -r, --rate N                events per second, due at fixed times; default: as fast as answers come\n"
                "  -k, --issues N       1000   distinct issues; 0: each event is a new one\n"
                "  -l, --large                 bodies of about 25 KB; default: about 4.2 KB\n"
                "  -b, --bytes N               at least so large, by padding\n"
                "  -z, --gzip                  compressed\n"
                "  -R, --replay DIRECTORY      the error events among recorded requests, with ids of their own, instead\n"
                "  -D, --dsns FILE             one a line, on one server; requests take them in turns\n"
                "  -d, --repeat PERCENT 0      of the events bear an id that was sent before\n"
                "  -p, --pause MS       0      without --rate: of a connection that got 429 or 503\n"
                "  -t, --timeout S      30     for an answer\n"
                "  -i, --ids FILE              project and event id of each 200, one per line\n"
                "  -u, --unknown               each request bears a key of its own, which nobody made\n"
                "  -a, --any-answer            a 200 need not name the event\n"
                "  -j, --json                  print the result as JSON\n",
                to);
}

static void fail(const char *what, const char *why)
{
    (void)fprintf(stderr, "load: %s: %s\n", what, why);
    exit(2);
}

static double number(const char *option, const char *text, double min, double max)
{
    char *end;
    double v = strtod(text, &end);
    if (*text == 0 || *end || !(v >= min && v <= max))
        fail(option, "not a number in its range");
    return v;
}

static const struct option names[] = {
    {"connections", required_argument, NULL, 'c'},
    {"seconds", required_argument, NULL, 's'},
    {"events", required_argument, NULL, 'n'},
    {"rate", required_argument, NULL, 'r'},
    {"issues", required_argument, NULL, 'k'},
    {"large", no_argument, NULL, 'l'},
    {"bytes", required_argument, NULL, 'b'},
    {"gzip", no_argument, NULL, 'z'},
    {"replay", required_argument, NULL, 'R'},
    {"dsns", required_argument, NULL, 'D'},
    {"repeat", required_argument, NULL, 'd'},
    {"pause", required_argument, NULL, 'p'},
    {"timeout", required_argument, NULL, 't'},
    {"ids", required_argument, NULL, 'i'},
    {"unknown", no_argument, NULL, 'u'},
    {"any-answer", no_argument, NULL, 'a'},
    {"json", no_argument, NULL, 'j'},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static bool read_body_option(int c, struct body_options *o)
{
    switch (c) {
    case 'k':
        o->issues = (uint64_t)number("--issues", optarg, 0, 1e9);
        return true;
    case 'l':
        o->form = BODY_LARGE;
        return true;
    case 'b':
        o->bytes = (size_t)number("--bytes", optarg, 0, 1 << 20);
        return true;
    case 'z':
        o->coding = BODY_GZIP;
        return true;
    case 'R':
        o->replay = optarg;
        return true;
    default:
        return false;
    }
}

static void read_options(int argc, char **argv, struct options *o)
{
    *o = (struct options){.connections = 64, .body.issues = 1000, .seconds = 10, .timeout_s = 30};
    for (int c; (c = getopt_long(argc, argv, "c:s:n:r:k:lb:zR:D:d:p:t:i:uajh", names, NULL)) != -1;) {
        switch (c) {
        case 'c':
            o->connections = (unsigned)number("--connections", optarg, 1, CONNECTIONS_MAX);
            break;
        case 's':
            o->seconds = number("--seconds", optarg, 0, 1e6);
            break;
        case 'n':
            o->events = (uint64_t)number("--events", optarg, 1, 1e12);
            break;
        case 'r':
            o->rate = number("--rate", optarg, 1e-3, 1e7);
            break;
        case 'D':
            o->dsns = optarg;
            break;
        case 'd':
            o->repeat_percent = (unsigned)number("--repeat", optarg, 0, 100);
            break;
        case 'p':
            o->pause_ms = number("--pause", optarg, 0, 1e6);
            break;
        case 't':
            o->timeout_s = number("--timeout", optarg, 0.1, 1e4);
            break;
        case 'i':
            o->ids = optarg;
            break;
        case 'u':
            o->unknown = true;
            break;
        case 'a':
            o->any_answer = true;
            break;
        case 'j':
            o->json = true;
            break;
        case 'h':
            usage(stdout);
            exit(0);
        default:
            if (read_body_option(c, &o->body))
                break;
            usage(stderr);
            exit(2);
        }
    }
}

static void read_target(struct load *l, const char *text)
{
    char host[64];
    uint64_t port = 80;
    if (l->n_targets == TARGETS_MAX)
        fail(text, "there are too many");
    l->targets = realloc(l->targets, (l->n_targets + 1) * sizeof *l->targets);
    if (!l->targets)
        abort();
    struct target *t = &l->targets[l->n_targets++];
    *t = (struct target){0};
    if (dsn_parse(str_from(text), &t->dsn) < 0 || !str_eq(t->dsn.scheme, STR("http")))
        fail(text, "not a DSN that begins with http://");
    struct str rest = t->dsn.authority, name = str_cut(&rest, ':');
    if (name.n >= sizeof host || (rest.p && !str_to_u64(rest, &port)) || port > UINT16_MAX)
        fail(text, "its host or port is not valid");
    memcpy(host, name.p, name.n);
    host[name.n] = 0;
    if (uv_ip4_addr(host, (int)port, &t->address) < 0)
        fail(text, "an IPv4 address is expected as its host");
    buf_printf(&t->head,
               "POST %.*s/api/%" PRIu64 "/envelope/ HTTP/1.1\r\nHost: %.*s\r\nContent-Type: application/x-sentry-envelope\r\n"
               "X-Sentry-Auth: Sentry sentry_version=7, sentry_client=picket-load/1, sentry_key=",
               STR_ARG(t->dsn.path_prefix), t->dsn.project_id, STR_ARG(t->dsn.authority));
    t->key_at = t->head.n;
    buf_append_str(&t->head, t->dsn.public_key);
    if (l->options.body.coding == BODY_GZIP)
        buf_append_str(&t->head, STR("\r\nContent-Encoding: gzip"));
    buf_append_str(&t->head, STR("\r\nContent-Length: "));
    if (l->options.unknown && t->dsn.public_key.n != ID_HEX)
        fail(text, "--unknown takes the place of a key of 32 digits");
}

static void read_targets(struct load *l, char *const *texts, int n)
{
    for (int i = 0; i < n; i++)
        read_target(l, texts[i]);
    if (!l->options.dsns)
        return;
    FILE *f = fopen(l->options.dsns, "re");
    if (!f)
        fail(l->options.dsns, strerror(errno));
    for (size_t got = 1; got > 0; l->dsns.n += got) {
        buf_reserve(&l->dsns, 64 * 1024);
        got = fread(l->dsns.p + l->dsns.n, 1, l->dsns.cap - l->dsns.n - 1, f);
    }
    (void)buf_cstr(&l->dsns);
    for (char *line, *rest = l->dsns.p; (line = strsep(&rest, "\n"));) {
        if (*line == 0)
            continue;
        read_target(l, line);
        if (memcmp(&l->targets[l->n_targets - 1].address, &l->targets[0].address, sizeof l->targets[0].address) != 0)
            fail(line, "another server than the first one's");
    }
    (void)fclose(f);
}

static void start(struct load *l)
{
    static const int signals[] = {SIGINT, SIGTERM};
    if (uv_loop_init(&l->loop) < 0)
        fail("loop", "cannot be made");
    (void)signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
        (void)uv_signal_init(&l->loop, &l->interrupt[i]); /* cannot fail after uv_loop_init */
        l->interrupt[i].data = l;
        if (uv_signal_start(&l->interrupt[i], on_signal, signals[i]) < 0)
            fail("signals", "cannot be watched");
    }
    list_init(&l->idle);
    l->conns = calloc(l->options.connections, sizeof *l->conns);
    if (!l->conns)
        abort();
    for (unsigned i = 0; i < l->options.connections; i++) {
        l->conns[i].load = l;
        l->conns[i].target = &l->targets[i % l->n_targets];
        list_init(&l->conns[i].link);
    }
    random_bytes(&l->salt, sizeof l->salt);
    l->bodies = bodies_new(&l->options.body);
    if (!l->bodies)
        fail(l->options.body.replay, "no error event was recorded there");
    l->start_us = l->progress_us = clock_mono_us();
    (void)uv_timer_init(&l->loop, &l->tick);
    (void)uv_timer_start(&l->tick, on_tick, 0, l->options.rate > 0 ? 1 : TICK_MS);
}

static void finish(struct load *l)
{
    if (l->ids && (ferror(l->ids) || fclose(l->ids) != 0))
        fail(l->options.ids, "could not be written");
    for (unsigned i = 0; i < l->options.connections; i++) {
        buf_done(&l->conns[i].head);
        buf_done(&l->conns[i].body);
        buf_done(&l->conns[i].answer);
    }
    for (unsigned i = 0; i < l->n_targets; i++)
        buf_done(&l->targets[i].head);
    buf_done(&l->dsns);
    bodies_free(l->bodies);
    free(l->targets);
    free(l->conns);
    int r = uv_loop_close(&l->loop);
    assert(r == 0);
}

int main(int argc, char **argv)
{
    static struct load load;
    struct load *l = &load;
    read_options(argc, argv, &l->options);
    read_targets(l, argv + optind, argc - optind);
    if (l->n_targets == 0) {
        usage(stderr);
        return 2;
    }
    if (l->options.ids && !(l->ids = fopen(l->options.ids, "we")))
        fail(l->options.ids, strerror(errno));
    start(l);
    (void)uv_run(&l->loop, UV_RUN_DEFAULT);
    double seconds = (double)((l->stop_us ? l->stop_us : clock_mono_us()) - l->start_us) / 1e6;
    if (isatty(STDERR_FILENO))
        (void)fputc('\n', stderr);
    if (l->options.json)
        print_json(l, seconds > 0 ? seconds : 1e-6);
    else
        print_text(l, seconds > 0 ? seconds : 1e-6);
    bool bad = l->bad_answers > 0;
    finish(l);
    return bad;
}
