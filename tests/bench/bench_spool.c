/* bench_spool.c: how much of the disk's own speed the spool gives away. Two threads, each with 64 appends of 4,200 bytes outstanding,
 * against floors in the same run and directory: one thread that writes the same bytes in batches and syncs each. A batch of 128 is all that
 * is outstanding, which no queue can reach (half of it waits while the other half is synced); a batch of 64 is that half. Rounds
 * alternate, because a shared disk changes its mind; the median round of each counts. Digesting can run beside it.
 *
 * bench_spool [directory [seconds per round [digest]]] */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/uio.h>

#include "picket/base/clock.h"
#include "picket/base/error.h"
#include "picket/spool/spool.h"

enum { THREADS = 2, OUTSTANDING = 64, PAYLOAD = 4200, ROUNDS = 5, SEGMENT = 64 << 20, LATENCIES = 1 << 20 };

struct bench {
    struct spool *spool;
    int64_t until_us;
    atomic_bool digest_stop;
    uint64_t digested;
};

struct appender {
    struct bench *bench;
    uv_loop_t loop;
    struct spool_port *port;
    unsigned running;
    uint64_t done, failed;
    uint32_t *latencies_us; /* heap, LATENCIES of them, the last ones */
    struct slot {
        struct spool_append append;
        struct appender *owner;
        int64_t started_us;
    } slots[OUTSTANDING];
    pthread_t thread;
    char payload[PAYLOAD];
};

struct result {
    double per_second, batch, p50_ms, p99_ms, cpu_us;
};

static void must(int r, const char *what)
{
    if (r >= 0)
        return;
    fprintf(stderr, "%s: %s\n", what, err_text(r));
    exit(1);
}

static double cpu_seconds(void)
{
    struct rusage u;
    must(getrusage(RUSAGE_SELF, &u), "getrusage");
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* ---- the floor */

static struct result floor_round(const char *dir, int64_t round_us, int batch)
{
    static char payload[PAYLOAD + 112];
    struct iovec iov[THREADS * OUTSTANDING], copy[THREADS * OUTSTANDING];
    char path[512];
    memset(payload, 'x', sizeof payload);
    for (size_t i = 0; i < ARRAY_LEN(iov); i++)
        iov[i] = (struct iovec){payload, sizeof payload};
    (void)snprintf(path, sizeof path, "%s/floor", dir);
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(fd < 0 ? -errno : 0, path);
    int64_t start = clock_mono_us(), now = start;
    double cpu = cpu_seconds();
    uint64_t batches = 0;
    off_t at = 0;
    for (; now - start < round_us; now = clock_mono_us(), batches++) {
        memcpy(copy, iov, sizeof copy);
        ssize_t n = pwritev(fd, copy, batch, at);
        must(n == (ssize_t)sizeof payload * batch ? 0 : -EIO, "pwritev");
        must(fdatasync(fd) < 0 ? -errno : 0, "fdatasync");
        at += n;
        if (at >= SEGMENT) {
            must(ftruncate(fd, 0) < 0 ? -errno : 0, "ftruncate");
            at = 0;
        }
    }
    (void)unlink(path);
    double records = (double)batches * batch;
    return (struct result){records * 1e6 / (double)(now - start), batch, 0, 0, (cpu_seconds() - cpu) / records * 1e6};
}

/* ---- the spool */

static void slot_start(struct slot *slot);

static void slot_done(struct spool_append *append, int r)
{
    struct slot *slot = container_of(append, struct slot, append);
    struct appender *a = slot->owner;
    a->latencies_us[a->done++ % LATENCIES] = (uint32_t)(clock_mono_us() - slot->started_us);
    a->failed += r < 0;
    a->running--;
    slot_start(slot);
}

static void slot_start(struct slot *slot)
{
    struct appender *a = slot->owner;
    slot->started_us = clock_mono_us();
    if (slot->started_us >= a->bench->until_us) {
        if (a->running == 0)
            spool_port_close(a->port, NULL, NULL);
        return;
    }
    struct spool_record record = {.project_id = 1,
                                  .received_us = clock_wall_us(),
                                  .kind = SPOOL_EVENT,
                                  .payload = str_of(a->payload, PAYLOAD)};
    slot->append.done = slot_done;
    must(spool_append(a->port, &slot->append, &record, 1), "spool_append");
    a->running++;
}

static void *appender_main(void *arg)
{
    struct appender *a = arg;
    must(uv_loop_init(&a->loop), "uv_loop_init");
    must(spool_port_open(a->bench->spool, &a->loop, &a->port), "spool_port_open");
    for (unsigned i = 0; i < OUTSTANDING; i++) {
        a->slots[i].owner = a;
        slot_start(&a->slots[i]);
    }
    (void)uv_run(&a->loop, UV_RUN_DEFAULT);
    must(uv_loop_close(&a->loop), "uv_loop_close");
    return NULL;
}

/* Claims, reads and settles 500 at a time until nothing is left. */
static void *digest_main(void *arg)
{
    struct bench *b = arg;
    struct spool_record records[500];
    struct spool_range range;
    AUTO_BUF struct buf buf = {0};
    for (;;) {
        bool last = atomic_load(&b->digest_stop);
        int r = spool_claim(b->spool, ARRAY_LEN(records), 4 << 20, &range);
        must(r, "spool_claim");
        if (r == 0 && last)
            return NULL;
        if (r == 0) {
            (void)usleep(1000); /* stands for waiting on the database */
            continue;
        }
        r = spool_read(b->spool, &range, &buf, records);
        must(r, "spool_read");
        b->digested += (uint64_t)r;
        spool_settle(b->spool, &range);
    }
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static struct result sum_up(struct appender *appenders, const struct spool_stats *before, const struct spool_stats *after, int64_t took_us,
                            double cpu)
{
    struct result res = {0};
    uint64_t records = after->records_appended - before->records_appended;
    res.per_second = (double)records * 1e6 / (double)took_us;
    res.batch = (double)records / (double)(after->syncs - before->syncs);
    res.cpu_us = cpu / (double)records * 1e6;
    for (unsigned i = 0; i < THREADS; i++) {
        size_t n = appenders[i].done < LATENCIES ? (size_t)appenders[i].done : LATENCIES;
        must(appenders[i].failed ? -EIO : 0, "append");
        qsort(appenders[i].latencies_us, n, sizeof(uint32_t), by_value);
        res.p50_ms += appenders[i].latencies_us[n / 2] / 1000.0 / THREADS;
        res.p99_ms += appenders[i].latencies_us[n * 99 / 100] / 1000.0 / THREADS;
        free(appenders[i].latencies_us);
    }
    return res;
}

static struct result spool_round(struct spool *spool, int64_t round_us)
{
    static struct appender appenders[THREADS]; /* loops are large */
    struct bench bench = {.spool = spool, .until_us = clock_mono_us() + round_us};
    struct spool_stats before, after;
    double cpu = cpu_seconds();
    spool_stats(spool, &before);
    for (unsigned i = 0; i < THREADS; i++) {
        appenders[i] = (struct appender){.bench = &bench, .latencies_us = calloc(LATENCIES, sizeof(uint32_t))};
        memset(appenders[i].payload, 'x', PAYLOAD);
        must(-pthread_create(&appenders[i].thread, NULL, appender_main, &appenders[i]), "pthread_create");
    }
    for (unsigned i = 0; i < THREADS; i++)
        must(-pthread_join(appenders[i].thread, NULL), "pthread_join");
    int64_t took_us = round_us + clock_mono_us() - bench.until_us;
    spool_stats(spool, &after);
    return sum_up(appenders, &before, &after, took_us, cpu_seconds() - cpu);
}

/* ---- the run */

static int by_speed(const void *a, const void *b)
{
    const struct result *x = a, *y = b;
    return x->per_second < y->per_second ? -1 : x->per_second > y->per_second;
}

static void print(const char *name, const struct result *r)
{
    printf("%-6s %8.0f records/s  %6.1f records per sync  %5.1f us of CPU per record  p50 %5.2f ms  p99 %5.2f ms\n", name, r->per_second,
           r->batch, r->cpu_us, r->p50_ms, r->p99_ms);
}

static void rounds(struct bench *digest, bool digesting, const char *dir, int64_t round_us)
{
    struct result floors[ROUNDS], halves[ROUNDS], spools[ROUNDS];
    for (unsigned i = 0; i < ROUNDS; i++) {
        pthread_t thread;
        floors[i] = floor_round(dir, round_us, THREADS * OUTSTANDING);
        halves[i] = floor_round(dir, round_us, THREADS * OUTSTANDING / 2);
        atomic_store(&digest->digest_stop, false);
        if (digesting)
            must(-pthread_create(&thread, NULL, digest_main, digest), "pthread_create");
        spools[i] = spool_round(digest->spool, round_us);
        atomic_store(&digest->digest_stop, true);
        if (digesting)
            must(-pthread_join(thread, NULL), "pthread_join");
    }
    qsort(floors, ROUNDS, sizeof *floors, by_speed);
    qsort(halves, ROUNDS, sizeof *halves, by_speed);
    qsort(spools, ROUNDS, sizeof *spools, by_speed);
    const struct result *whole = &floors[ROUNDS / 2], *half = &halves[ROUNDS / 2], *spool = &spools[ROUNDS / 2];
    print("floor", whole);
    print("half", half);
    print("spool", spool);
    printf("ratio  %.2f of the floor, %.2f of the half%s\n", spool->per_second / whole->per_second, spool->per_second / half->per_second,
           digesting ? ", while everything is read back" : "");
}

int main(int argc, char **argv)
{
    const char *dir = argc > 1 ? argv[1] : ".";
    uint64_t seconds = 2;
    char path[512];
    if (argc > 2 && !str_to_u64(str_from(argv[2]), &seconds))
        return 2;
    (void)snprintf(path, sizeof path, "%s/bench-spool", dir);
    struct spool_config config = {.dir = path, .segment_bytes = SEGMENT, .max_bytes = UINT64_C(1) << 40, .max_pending_bytes = 64 << 20};
    struct bench bench = {0};
    must(spool_open(&config, &bench.spool, NULL), path);
    rounds(&bench, argc > 3, dir, (int64_t)seconds * CLOCK_US_PER_S);
    atomic_store(&bench.digest_stop, true);
    (void)digest_main(&bench); /* so that little is left on the disk */
    spool_close(bench.spool);
    return 0;
}
