/* Counters and histograms under several writers and a reader, the buckets' borders, and the text. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "picket/base/metrics.h"

enum { WRITERS = 4, ROUNDS = 100000 };

struct counted { /* what one writer counts */
    struct metric_counter events;
    struct metric_histogram sizes;
};

struct writer {
    pthread_t thread;
    struct counted *counted;
};

static void *write_all(void *arg)
{
    struct writer *w = arg;
    for (int64_t i = 0; i < ROUNDS; i++) {
        metric_add(&w->counted->events, 2);
        metric_observe(&w->counted->sizes, &metric_pieces, i % 20000);
    }
    return NULL;
}

static void sum_up(const struct writer *writers, uint64_t *ret_events, struct metric_reading *ret)
{
    *ret_events = 0;
    *ret = (struct metric_reading){0};
    for (unsigned i = 0; i < WRITERS; i++) {
        *ret_events += metric_read(&writers[i].counted->events);
        metric_collect(&writers[i].counted->sizes, ret);
    }
}

static void assert_grown(const struct metric_reading *before, const struct metric_reading *now)
{
    assert_true(now->sum >= before->sum);
    for (unsigned i = 0; i <= METRIC_BOUNDS_MAX; i++)
        assert_true(now->buckets[i] >= before->buckets[i]);
}

static void sums_are_exact_and_never_go_back(void **state)
{
    (void)state;
    struct writer writers[WRITERS];
    struct metric_reading before = {0}, now;
    uint64_t events_before = 0, events, want_sum = 0, all = (uint64_t)WRITERS * ROUNDS;
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i].counted = metric_block(sizeof *writers[i].counted);
        assert_int_equal((uintptr_t)writers[i].counted % 64, 0);
    }
    for (unsigned i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_all, &writers[i]), 0);
    do {
        sum_up(writers, &events, &now);
        assert_true(events >= events_before);
        assert_grown(&before, &now);
        before = now;
        events_before = events;
    } while (metric_count(&now) < all);
    for (unsigned i = 0; i < WRITERS; i++)
        pthread_join(writers[i].thread, NULL);
    sum_up(writers, &events, &now);
    assert_int_equal(events, 2 * all);
    assert_int_equal(metric_count(&now), all);
    for (uint64_t i = 0; i < ROUNDS; i++)
        want_sum += i % 20000;
    assert_int_equal(now.sum, WRITERS * want_sum);
    assert_int_equal(now.buckets[0], WRITERS * 2 * (ROUNDS / 20000));                  /* 0, 1 */
    assert_int_equal(now.buckets[metric_pieces.n], WRITERS * 9999 * (ROUNDS / 20000)); /* above 10,000 */
    for (unsigned i = 0; i < WRITERS; i++)
        free(writers[i].counted);
}

/* Which bucket a value goes to. */
static unsigned bucket_of(const struct metric_scale *scale, int64_t value)
{
    struct metric_histogram h = {0};
    struct metric_reading r = {0};
    metric_observe(&h, scale, value);
    metric_collect(&h, &r);
    assert_int_equal(r.sum, value < 0 ? 0 : value);
    for (unsigned i = 0; i <= scale->n; i++)
        if (r.buckets[i])
            return i;
    fail();
    return 0;
}

static void bounds_belong_to_the_bucket_below(void **state)
{
    (void)state;
    const struct metric_scale *const scales[] = {&metric_seconds, &metric_pieces, &metric_bytes};
    for (size_t s = 0; s < ARRAY_LEN(scales); s++) {
        assert_true(scales[s]->n > 0 && scales[s]->n <= METRIC_BOUNDS_MAX);
        for (unsigned i = 0; i < scales[s]->n; i++) {
            int64_t bound = (int64_t)scales[s]->bounds[i];
            assert_true(i == 0 || scales[s]->bounds[i] > scales[s]->bounds[i - 1]);
            assert_int_equal(bucket_of(scales[s], bound), i);
            assert_int_equal(bucket_of(scales[s], bound + 1), i + 1);
        }
        assert_int_equal(bucket_of(scales[s], 0), 0);
        assert_int_equal(bucket_of(scales[s], -5), 0);
        assert_int_equal(bucket_of(scales[s], INT64_MAX), scales[s]->n);
    }
}

static void text_is_what_prometheus_reads(void **state)
{
    (void)state;
    static const struct metric_scale scale = {.decimals = 6, .n = 3, .bounds = {50, 1000, 2500000}};
    AUTO_BUF struct buf out = {0};
    struct metric_text t = {.out = &out};
    struct metric_histogram h = {0};
    struct metric_reading r = {0};
    const struct metric_label labels[] = {{"kind", STR("a\\b\"c\nd")}, {"code", STR("200")}};
    metric_observe(&h, &scale, 50);
    metric_observe(&h, &scale, 1000);
    metric_observe(&h, &scale, 3000000);
    metric_collect(&h, &r);
    metric_put_one(&t, "x_total", METRIC_COUNTER, "A \\ and\na \"line\".", UINT64_MAX, 0);
    metric_family(&t, "y", METRIC_GAUGE, "Y.");
    metric_put(&t, labels, 2, 1500000, 6);
    metric_put(&t, labels, 1, 0, 6);
    metric_put(&t, labels, 1, 1000001, 6);
    metric_family(&t, "z_seconds", METRIC_HISTOGRAM, "Z.");
    metric_put_histogram(&t, NULL, 0, &scale, &r);
    metric_put_histogram(&t, labels + 1, 1, &scale, &r);
    assert_string_equal(buf_cstr(&out),
                        "# HELP x_total A \\\\ and\\na \"line\".\n# TYPE x_total counter\nx_total 18446744073709551615\n"
                        "# HELP y Y.\n# TYPE y gauge\ny{kind=\"a\\\\b\\\"c\\nd\",code=\"200\"} 1.5\n"
                        "y{kind=\"a\\\\b\\\"c\\nd\"} 0\ny{kind=\"a\\\\b\\\"c\\nd\"} 1.000001\n"
                        "# HELP z_seconds Z.\n# TYPE z_seconds histogram\nz_seconds_bucket{le=\"0.00005\"} 1\n"
                        "z_seconds_bucket{le=\"0.001\"} 2\nz_seconds_bucket{le=\"2.5\"} 2\nz_seconds_bucket{le=\"+Inf\"} 3\n"
                        "z_seconds_sum 3.00105\nz_seconds_count 3\n"
                        "z_seconds_bucket{code=\"200\",le=\"0.00005\"} 1\nz_seconds_bucket{code=\"200\",le=\"0.001\"} 2\n"
                        "z_seconds_bucket{code=\"200\",le=\"2.5\"} 2\nz_seconds_bucket{code=\"200\",le=\"+Inf\"} 3\n"
                        "z_seconds_sum{code=\"200\"} 3.00105\nz_seconds_count{code=\"200\"} 3\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_exact_and_never_go_back),
        cmocka_unit_test(bounds_belong_to_the_bucket_below),
        cmocka_unit_test(text_is_what_prometheus_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
