/* metrics.h: counters and histograms which one thread writes and any thread reads, and the text in which Prometheus reads them (exposition format
 * 0.0.4). Design: src/base/metrics.c. */
#pragma once

#include <stdatomic.h>

#include "picket/base/buf.h"

/* ---- counting: each of these has one writer. Readers may be late, and never see it go back. */
struct metric_counter {
    atomic_uint_fast64_t n;
};
static inline uint64_t metric_read(const struct metric_counter *c)
{
    return atomic_load_explicit(&c->n, memory_order_relaxed);
}
static inline void metric_set(struct metric_counter *c, uint64_t n) /* a gauge */
{
    atomic_store_explicit(&c->n, n, memory_order_relaxed);
}
static inline void metric_add(struct metric_counter *c, uint64_t n)
{
    metric_set(c, metric_read(c) + n);
}

/* A bucket's bound is the largest value that belongs to it. What is beyond the last one has a bucket of its own. */
enum { METRIC_BOUNDS_MAX = 24 };
struct metric_scale {
    unsigned decimals; /* 6: values are microseconds and told as seconds */
    unsigned n;
    uint64_t bounds[METRIC_BOUNDS_MAX]; /* ascending */
};
extern const struct metric_scale metric_seconds; /* values in µs: 50 µs … 1000 s by 1, 2, 5 */
extern const struct metric_scale metric_pieces;  /* 1 … 10,000 by 1, 2, 5 */
extern const struct metric_scale metric_bytes;   /* 256 … 64 MiB by 4 */

struct metric_histogram {
    struct metric_counter buckets[METRIC_BOUNDS_MAX + 1], sum;
};
/* The scale is always the same one. A negative value counts as 0: clocks are set back. */
void metric_observe(struct metric_histogram *h, const struct metric_scale *scale, int64_t value);

/* Zeroed memory for what one thread counts, on cache lines of its own; free() ends it. Running out of memory aborts. */
void *metric_block(size_t bytes);

/* ---- reading: zeroed, then the histograms of all threads are added */
struct metric_reading {
    uint64_t buckets[METRIC_BOUNDS_MAX + 1], sum;
};
void metric_collect(const struct metric_histogram *h, struct metric_reading *ret);
uint64_t metric_count(const struct metric_reading *reading); /* of observations */

/* ---- text */
enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };
enum { METRIC_LABELS_MAX = 4 };
struct metric_label {
    const char *name;
    struct str value; /* UTF-8; escaped. Of few values: each is a series for ever */
};
struct metric_text { /* the caller's, with `out` set */
    struct buf *out;
    const char *family; /* private */
};
/* What follows belongs to it. All samples of a family stand together: a name is begun once. */
void metric_family(struct metric_text *t, const char *name, enum metric_type type, const char *help);
/* A sample: value / 10^decimals. */
void metric_put(struct metric_text *t, const struct metric_label *labels, unsigned n_labels, uint64_t value, unsigned decimals);
void metric_put_histogram(struct metric_text *t, const struct metric_label *labels, unsigned n_labels, const struct metric_scale *scale,
                          const struct metric_reading *reading);
/* A family of one sample without labels. */
void metric_put_one(struct metric_text *t, const char *name, enum metric_type type, const char *help, uint64_t value, unsigned decimals);
