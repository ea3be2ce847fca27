/* metrics.c: what GET /metrics tells: each module's own figures, what is only known by several of them, and the process. By no statement. The few
 * system calls are answered by the kernel from memory, so they may be made on a loop. */
#include "figures.h"

#include <fcntl.h>
#include <sys/resource.h>

#include "picket/base/clock.h"
#include "version.h"

static uint64_t micros(const struct timeval *tv)
{
    return (uint64_t)tv->tv_sec * 1000000 + (uint64_t)tv->tv_usec;
}

/* Bytes of a line "name:   12 kB" of /proc/self/status; 0: it is not there. */
static uint64_t memory_of(struct str status, struct str name)
{
    uint64_t kb = 0;
    while (status.p) {
        struct str line = str_cut(&status, '\n');
        if (!str_starts(line, name))
            continue;
        line = str_trim(str_drop(line, name.n));
        return str_to_u64(str_take(line, str_find(line, ' ')), &kb) ? kb * 1024 : 0;
    }
    return 0;
}

static void put_memory(struct metric_text *t)
{
    char text[4096];
    AUTO_CLOSE int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);
    if (n <= 0)
        return; /* a system without it */
    struct str status = str_of(text, (size_t)n);
    metric_put_one(t, "process_resident_memory_bytes", METRIC_GAUGE, "Resident memory, pages of files included.",
                   memory_of(status, STR("VmRSS:")), 0);
    metric_put_one(t, "picket_memory_anonymous_bytes", METRIC_GAUGE, "Resident memory that is no file's: what Picket itself takes.",
                   memory_of(status, STR("RssAnon:")), 0);
}

static void put_process(const struct figures *f, struct metric_text *t)
{
    struct rusage usage = {0};
    int64_t up_us = clock_mono_us() - f->started_mono_us;
    metric_family(t, "picket_build_info", METRIC_GAUGE, "Which Picket this is; always 1.");
    metric_put(t, (struct metric_label[]){{"version", STR(PICKET_VERSION)}}, 1, 1, 0);
    metric_put_one(t, "picket_uptime_seconds", METRIC_GAUGE, "Since the spool was opened, by a clock that nobody sets.", (uint64_t)up_us,
                   6);
    metric_put_one(t, "process_start_time_seconds", METRIC_GAUGE, "When that was, since 1970.", (uint64_t)f->started_us, 6);
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        metric_put_one(t, "process_cpu_seconds_total", METRIC_COUNTER, "Processor time, the system's on its behalf included.",
                       micros(&usage.ru_utime) + micros(&usage.ru_stime), 6);
    put_memory(t);
}

static void put_age(struct figures *f, struct digest *d, struct metric_text *t)
{
    struct spool_stats spool;
    struct digest_stats digest = {0};
    spool_stats(f->spool, &spool);
    if (d)
        digest_stats(d, &digest);
    int64_t age_us = figures_oldest_age_us(&spool, &digest);
    metric_put_one(t, "picket_spool_oldest_age_seconds", METRIC_GAUGE,
                   "Age of the oldest record that waits to be digested, at most; 0: none does.", age_us < 0 ? 0 : (uint64_t)age_us, 6);
    metric_put_one(t, "picket_digest_running", METRIC_GAUGE,
                   "1: the digest takes records; 0: it has not begun, since the database has not answered yet.", digest.claims, 0);
}

static void put_letters(struct digest *d, struct metric_text *t)
{
    struct digest_letters_stats s = {0};
    digest_letters(d, &s);
    if (!s.known)
        return;
    metric_family(t, "picket_dead_letters", METRIC_GAUGE,
                  "Records that the database refused: waiting there, marked to be tried again, in files.");
    metric_put(t, (struct metric_label[]){{"state", STR("waiting")}}, 1, s.dead, 0);
    metric_put(t, (struct metric_label[]){{"state", STR("retrying")}}, 1, s.marked, 0);
    metric_put(t, (struct metric_label[]){{"state", STR("spilled")}}, 1, s.spilled, 0);
    metric_put_one(t, "picket_dead_letters_spilled_bytes", METRIC_GAUGE, "Bytes of those files.", s.spilled_bytes, 0);
    metric_put_one(t, "picket_dead_letters_lost_total", METRIC_COUNTER, "Files that had to go for newer ones.", s.spilled_lost, 0);
}

static void put_pools(const struct http_server *server, const struct digest *d, struct metric_text *t)
{
    struct db_pools pools[] = {{.name = "http"}, {.name = "digest"}};
    http_db_collect(server, &pools[0].reading);
    if (d)
        digest_db_collect(d, &pools[1].reading);
    db_put_metrics(t, pools, ARRAY_LEN(pools));
}

void figures_put_metrics(void *figures, const struct http_server *server, struct metric_text *t)
{
    struct figures *f = figures;
    struct digest *d = atomic_load(&f->digest);
    put_process(f, t);
    http_put_metrics(server, t);
    ingest_put_metrics(f->ingest, t);
    spool_put_metrics(f->spool, t);
    put_age(f, d, t);
    if (d) {
        digest_put_metrics(d, t);
        put_letters(d, t);
    }
    put_pools(server, d, t);
}
