/* bench_quota.c: what asking the quotas costs per item, in nanoseconds: where nothing is limited, and where installation, project and key are, with
 * one thread and with several. usage: bench_quota [THREADS] */
#include <pthread.h>
#include <stdio.h>

#include "picket/base/clock.h"
#include "picket/ingest/quota.h"

enum { TAKINGS = 2000000, PROJECTS = 1000, THREADS_MAX = 64 };

static void *run(void *arg)
{
    struct quota *q = arg;
    struct quota_refusal refusal;
    unsigned refused = 0;
    for (unsigned i = 0; i < TAKINGS; i++) {
        struct quota_item item = {.project_id = i % PROJECTS + 1, .key_id = i % PROJECTS + 1, .category = CATEGORY_ERROR, .quantity = 1};
        refused += !quota_take(q, &item, clock_mono_us(), &refusal);
    }
    if (refused > 0)
        puts("some were refused");
    return NULL;
}

static void measure(const char *what, struct quota *q, unsigned n_threads)
{
    pthread_t threads[THREADS_MAX];
    int64_t start_us = clock_mono_us();
    for (unsigned i = 0; i < n_threads; i++)
        if (pthread_create(&threads[i], NULL, run, q))
            abort();
    for (unsigned i = 0; i < n_threads; i++)
        pthread_join(threads[i], NULL);
    double ns = (double)(clock_mono_us() - start_us) * 1000 / TAKINGS;
    printf("%-40s %u threads: %.0f ns each, %.1f million/s together\n", what, n_threads, ns, 1000.0 * n_threads / ns);
}

int main(int argc, char **argv)
{
    uint64_t n = 2;
    if (argc > 1 && (!str_to_u64(str_from(argv[1]), &n) || n < 1 || n > THREADS_MAX))
        return 2;
    const struct quota_limit limits[] = {{QUOTA_INSTALLATION, 0, CATEGORY_ERROR, {1000000000, 1000000000}},
                                         {QUOTA_PROJECT, 0, CATEGORY_ERROR, {100000000, 100000000}},
                                         {QUOTA_KEY, 0, CATEGORY_ERROR, {100000000, 100000000}}};
    struct quota *q = quota_new();
    measure("nothing is limited", q, 1);
    quota_set_limits(q, limits, ARRAY_LEN(limits));
    measure("installation, project and key", q, 1);
    measure("installation, project and key", q, (unsigned)n);
    quota_free(q);
    return 0;
}
