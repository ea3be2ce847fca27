/* ask.c: clients that read, and how long each kind of read takes.
 *
 *   ask [-c CLIENTS] [-s SECONDS] [-r RATE] PORT FILE        to 127.0.0.1; the header of the asker is in the environment: ASK_HEADER="Authorization: Bearer …"
 *
 * FILE has a target a line: a kind, a tab, a path. Each client has a connection that it keeps and one request under way; it takes the kinds in turns, beginning at one of its
 * own, and of a kind a target at random. So all kinds are asked equally often, whatever they cost.
 *
 * Without -r the loop is closed: a client asks when its answer is there, and what is measured is a machine with so many requests always under way. With -r it is open: reads are
 * due at fixed times, so many a second from all clients together, and the latency counts from when one was due, so a server that stalls cannot hide it.
 *
 * Prints as JSON, for each kind: asked, failed (no 200), bytes of an answer, latencies. A thread for each client, with blocking sockets: they share nothing. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include "picket/base/buf.h"
#include "picket/base/clock.h"
#include "picket/json/json.h"

#include "histogram.h"

enum { CLIENTS_MAX = 256, KINDS_MAX = 64, READ_BYTES = 64 * 1024, TIMEOUT_S = 60 };

struct kind {
    const char *name;
    struct buf paths; /* of const char * */
    size_t n_paths;
};

struct count { /* of a kind, by a client or by all */
    uint64_t asked, failed, bytes;
    struct histogram latencies;
};

struct run {
    unsigned clients;
    double seconds, rate;
    struct sockaddr_in address;
    const char *header;
    struct kind kinds[KINDS_MAX];
    unsigned n_kinds;
    int64_t start_us, end_us;
};

struct client {
    const struct run *run;
    unsigned number;
    pthread_t thread;
    int fd; /* -1: no connection */
    uint64_t dice;
    struct buf request, answer;
    struct count counts[KINDS_MAX]; /* large: clients are never on the stack */
};

static void fail(const char *what, const char *why)
{
    (void)fprintf(stderr, "ask: %s: %s\n", what, why);
    exit(2);
}

/* ---- one request */

static bool client_dial(struct client *c)
{
    struct timeval limit = {.tv_sec = TIMEOUT_S};
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return false;
    if (setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0 &&
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0 &&
        connect(c->fd, (const struct sockaddr *)&c->run->address, sizeof c->run->address) == 0)
        return true;
    (void)close(c->fd);
    c->fd = -1;
    return false;
}

/* The length of the answer that begins there: -1 when its head is not all there yet, -2 when it does not say. */
static ssize_t answer_length(struct str answer)
{
    static const char name[] = "\r\ncontent-length:";
    const char *end = answer.n ? memmem(answer.p, answer.n, "\r\n\r\n", 4) : NULL;
    if (!end)
        return -1;
    struct str head = str_of(answer.p, (size_t)(end - answer.p));
    for (size_t i = 0; i + sizeof name - 1 <= head.n; i++) {
        struct str rest = str_drop(head, i);
        uint64_t n;
        if (!str_eq_nocase(str_take(rest, sizeof name - 1), str_from(name)))
            continue;
        rest = str_drop(rest, sizeof name - 1);
        return str_to_u64(str_trim(str_cut(&rest, '\r')), &n) ? (ssize_t)(head.n + 4 + n) : -2;
    }
    return -2;
}

/* Reads an answer to its end. The status; 0: there was none. */
static unsigned client_read(struct client *c)
{
    uint64_t status;
    buf_clear(&c->answer);
    for (ssize_t length = -1; length == -1 || (size_t)length > c->answer.n;) {
        buf_reserve(&c->answer, READ_BYTES);
        ssize_t n = recv(c->fd, c->answer.p + c->answer.n, READ_BYTES, 0);
        if (n <= 0)
            return 0;
        c->answer.n += (size_t)n;
        length = answer_length(buf_str(&c->answer));
        if (length == -2)
            return 0;
    }
    return c->answer.n >= 12 && str_to_u64(str_of(c->answer.p + 9, 3), &status) ? (unsigned)status : 0;
}

static unsigned client_ask(struct client *c, const char *path)
{
    if (c->fd < 0 && !client_dial(c))
        return 0;
    buf_clear(&c->request);
    buf_printf(&c->request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s\r\n\r\n", path, c->run->header);
    unsigned status = send(c->fd, c->request.p, c->request.n, MSG_NOSIGNAL) == (ssize_t)c->request.n ? client_read(c) : 0;
    if (status == 0) {
        (void)close(c->fd);
        c->fd = -1;
    }
    return status;
}

/* ---- a client */

static uint64_t throw_dice(struct client *c)
{
    c->dice ^= c->dice << 13;
    c->dice ^= c->dice >> 7;
    c->dice ^= c->dice << 17;
    return c->dice;
}

/* When its n-th request is due; the client waits until then. */
static int64_t client_wait(const struct client *c, uint64_t n)
{
    const struct run *r = c->run;
    if (r->rate == 0)
        return clock_mono_us();
    int64_t due_us = r->start_us + (int64_t)((double)(n * r->clients + c->number) * 1e6 / r->rate), left_us = due_us - clock_mono_us();
    if (left_us > 0)
        (void)nanosleep(&(struct timespec){.tv_sec = left_us / CLOCK_US_PER_S, .tv_nsec = left_us % CLOCK_US_PER_S * 1000}, NULL);
    return due_us;
}

static void *client_main(void *p)
{
    struct client *c = p;
    const struct run *r = c->run;
    for (uint64_t n = 0;; n++) {
        int64_t due_us = client_wait(c, n);
        if (due_us >= r->end_us)
            break;
        unsigned k = (unsigned)((n + (uint64_t)c->number * 7) % r->n_kinds);
        const struct kind *kind = &r->kinds[k];
        const char *path;
        memcpy(&path, kind->paths.p + throw_dice(c) % kind->n_paths * sizeof path, sizeof path);
        unsigned status = client_ask(c, path);
        struct count *count = &c->counts[k];
        if (count->failed == 0 && status != 200)
            (void)fprintf(stderr, "ask: %u for %s\n", status, path);
        count->asked++;
        count->failed += status != 200;
        count->bytes += c->answer.n;
        histogram_note(&count->latencies, (uint64_t)(clock_mono_us() - due_us));
    }
    if (c->fd >= 0)
        (void)close(c->fd);
    buf_done(&c->request);
    buf_done(&c->answer);
    return NULL;
}

/* ---- the result */

static void count_add(struct count *to, const struct count *from)
{
    to->asked += from->asked;
    to->failed += from->failed;
    to->bytes += from->bytes;
    to->latencies.total += from->latencies.total;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        to->latencies.counts[i] += from->latencies.counts[i];
    if (from->latencies.highest_us > to->latencies.highest_us)
        to->latencies.highest_us = from->latencies.highest_us;
}

static void put_count(struct json_writer *w, const char *name, const struct count *count)
{
    static const struct {
        const char *name;
        double share;
    } shares[] = {{"p50", 0.5}, {"p95", 0.95}, {"p99", 0.99}, {"max", 1}};
    json_key(w, str_from(name));
    json_begin_object(w);
    json_field_i64(w, STR("asked"), (int64_t)count->asked);
    json_field_i64(w, STR("failed"), (int64_t)count->failed);
    json_field_i64(w, STR("bytes"), count->asked ? (int64_t)(count->bytes / count->asked) : 0);
    for (size_t i = 0; i < ARRAY_LEN(shares); i++)
        json_key(w, str_from(shares[i].name)), json_put_f64(w, histogram_ms(&count->latencies, shares[i].share));
    json_end_object(w);
}

static void print_result(const struct run *r, const struct client *clients)
{
    struct rusage usage;
    struct json_writer w;
    AUTO_BUF struct buf out = {0};
    static struct count all;
    (void)getrusage(RUSAGE_SELF, &usage); /* cannot fail for oneself */
    json_writer_init(&w, &out);
    json_begin_object(&w);
    json_key(&w, STR("seconds")), json_put_f64(&w, (double)(clock_mono_us() - r->start_us) / 1e6);
    json_key(&w, STR("cpu_seconds"));
    json_put_f64(&w,
                 (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    json_key(&w, STR("kinds"));
    json_begin_object(&w);
    for (unsigned k = 0; k < r->n_kinds; k++) {
        static struct count count;
        memset(&count, 0, sizeof count);
        for (unsigned i = 0; i < r->clients; i++)
            count_add(&count, &clients[i].counts[k]);
        count_add(&all, &count);
        put_count(&w, r->kinds[k].name, &count);
    }
    json_end_object(&w);
    put_count(&w, "all", &all);
    json_end_object(&w);
    (void)printf("%.*s\n", STR_ARG(buf_str(&out)));
}

/* ---- start */

static void add_target(struct run *r, char *line)
{
    const char *name = strsep(&line, "\t"), *path = line;
    unsigned k = 0;
    if (!path)
        fail(name, "a kind, a tab and a path are expected");
    while (k < r->n_kinds && strcmp(r->kinds[k].name, name) != 0)
        k++;
    if (k == KINDS_MAX)
        fail(name, "one kind too many");
    if (k == r->n_kinds)
        r->kinds[r->n_kinds++].name = name;
    buf_append(&r->kinds[k].paths, &path, sizeof path);
    r->kinds[k].n_paths++;
}

static void read_targets(struct run *r, const char *name, struct buf *text)
{
    FILE *f = fopen(name, "re");
    if (!f)
        fail(name, strerror(errno));
    for (size_t got = 1; got > 0; text->n += got) {
        buf_reserve(text, READ_BYTES);
        got = fread(text->p + text->n, 1, text->cap - text->n - 1, f);
    }
    (void)fclose(f);
    (void)buf_cstr(text);
    for (char *line, *rest = text->p; (line = strsep(&rest, "\n"));)
        if (*line)
            add_target(r, line);
    if (r->n_kinds == 0)
        fail(name, "has no target");
}

static double number(const char *what, const char *text, double min, double max)
{
    char *end;
    double v = strtod(text, &end);
    if (*text == 0 || *end || !(v >= min && v <= max))
        fail(what, "not a number in its range");
    return v;
}

static void read_options(int argc, char **argv, struct run *r)
{
    *r = (struct run){.clients = 16, .seconds = 10, .header = getenv("ASK_HEADER")};
    for (int c; (c = getopt(argc, argv, "c:s:r:")) != -1;) {
        if (c == 'c')
            r->clients = (unsigned)number("-c", optarg, 1, CLIENTS_MAX);
        else if (c == 's')
            r->seconds = number("-s", optarg, 0.1, 1e5);
        else if (c == 'r')
            r->rate = number("-r", optarg, 1e-3, 1e6);
        else
            exit(2);
    }
    if (argc - optind != 2 || !r->header)
        fail("usage", "ASK_HEADER='Authorization: Bearer …' ask [-c CLIENTS] [-s SECONDS] [-r RATE] PORT FILE");
    r->address = (struct sockaddr_in){.sin_family = AF_INET,
                                      .sin_port = htons((uint16_t)number("port", argv[optind], 1, UINT16_MAX)),
                                      .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

int main(int argc, char **argv)
{
    static struct run run;
    AUTO_BUF struct buf text = {0};
    read_options(argc, argv, &run);
    read_targets(&run, argv[optind + 1], &text);
    struct client *clients = calloc(run.clients, sizeof *clients);
    if (!clients)
        abort();
    run.start_us = clock_mono_us();
    run.end_us = run.start_us + (int64_t)(run.seconds * 1e6);
    for (unsigned i = 0; i < run.clients; i++) {
        clients[i].run = &run;
        clients[i].number = i;
        clients[i].fd = -1;
        clients[i].dice = UINT64_C(0x9e3779b97f4a7c15) * (i + 1);
        if (pthread_create(&clients[i].thread, NULL, client_main, &clients[i]) != 0)
            fail("thread", "cannot be started");
    }
    for (unsigned i = 0; i < run.clients; i++)
        (void)pthread_join(clients[i].thread, NULL); /* cannot fail: they are ours */
    print_result(&run, clients);
    for (unsigned k = 0; k < run.n_kinds; k++)
        buf_done(&run.kinds[k].paths);
    free(clients);
    return 0;
}
