/* metrics.c: see the header. What one thread counts lies in memory that this thread alone writes, beside what it belongs to (a worker, a
 * pool, the spool's committer), and who is asked goes through the workers and adds.
 *
 * Why so. One atomic for all threads costs a locked instruction each time (5 ns alone, 20 to 60 when another processor has the line), and a lock more.
 * The kernel's way, an array by processor, needs restartable sequences or the lock prefix again. Thread-local blocks on a global list, as client
 * libraries have them, cost as little as this, but the list is mutable global state: two servers in a test process would share it, threads that
 * end must leave it, and all names would have to be known here. Owners already know their threads, and outlive whoever asks. An event is counted
 * by a relaxed load and a relaxed store, which are plain moves; readers need no order between two counters, only that each never goes back, and that
 * is what an atomic's coherence promises.
 *
 * Histograms. Fixed buckets in steps of 1, 2, 5: what Prometheus can add over servers and what alerts name (0.1 s), at most 2.5-fold wide; HDR
 * histograms or summaries give sharper quantiles, and neither can be added. The bucket is found by walking up: a handful of comparisons that are
 * predicted. A count is the sum of the buckets as they were read, never a counter of its own, so a reading is whole whatever is written meanwhile. */
#include "picket/base/metrics.h"

#include <inttypes.h>

enum { LINE = 64 };

const struct metric_scale metric_seconds = {
    .decimals = 6,
    .n = 23,
    .bounds = {50,     100,     200,     500,     1000,     2000,     5000,     10000,     20000,     50000,     100000,    200000,
               500000, 1000000, 2000000, 5000000, 10000000, 20000000, 50000000, 100000000, 200000000, 500000000, 1000000000},
};
const struct metric_scale metric_pieces = {.n = 13, .bounds = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000}};
const struct metric_scale metric_bytes = {.n = 10,
                                          .bounds = {256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20,
                                                     64 << 20}};

void metric_observe(struct metric_histogram *h, const struct metric_scale *scale, int64_t value)
{
    uint64_t v = value < 0 ? 0 : (uint64_t)value;
    unsigned i = 0;
    while (i < scale->n && v > scale->bounds[i])
        i++;
    metric_add(&h->buckets[i], 1);
    metric_add(&h->sum, v);
}

void *metric_block(size_t bytes)
{
    size_t whole = (bytes + LINE - 1) / LINE * LINE;
    void *block = aligned_alloc(LINE, whole);
    if (!block)
        abort(); /* M4 */
    memset(block, 0, whole);
    return block;
}

void metric_collect(const struct metric_histogram *h, struct metric_reading *ret)
{
    for (unsigned i = 0; i <= METRIC_BOUNDS_MAX; i++)
        ret->buckets[i] += metric_read(&h->buckets[i]);
    ret->sum += metric_read(&h->sum);
}

uint64_t metric_count(const struct metric_reading *reading)
{
    uint64_t n = 0;
    for (unsigned i = 0; i <= METRIC_BOUNDS_MAX; i++)
        n += reading->buckets[i];
    return n;
}

/* ---- text */

/* Backslashes and newlines, and `also`: labels stand in quotes. */
static void put_escaped(struct buf *out, struct str s, char also)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '\\' || c == '\n' || c == also)
            buf_append_char(out, '\\');
        if (c == '\n')
            c = 'n';
        buf_append_char(out, c);
    }
}

static void put_text(struct buf *out, const char *text)
{
    buf_append_str(out, str_from(text));
}

/* value / 10^decimals, exact and without zeros at the end. */
static void put_number(struct buf *out, uint64_t value, unsigned decimals)
{
    uint64_t unit = 1;
    for (unsigned i = 0; i < decimals; i++)
        unit *= 10;
    buf_printf(out, "%" PRIu64, value / unit);
    uint64_t rest = value % unit;
    if (rest)
        buf_append_char(out, '.');
    for (; rest; rest %= unit) {
        unit /= 10;
        buf_append_char(out, (char)('0' + rest / unit));
    }
}

static void put_series(struct metric_text *t, const char *suffix, const struct metric_label *labels, unsigned n)
{
    put_text(t->out, t->family);
    put_text(t->out, suffix);
    for (unsigned i = 0; i < n; i++) {
        buf_append_char(t->out, i ? ',' : '{');
        put_text(t->out, labels[i].name);
        put_text(t->out, "=\"");
        put_escaped(t->out, labels[i].value, '"');
        buf_append_char(t->out, '"');
    }
    if (n)
        buf_append_char(t->out, '}');
}

static void put_value(struct metric_text *t, uint64_t value, unsigned decimals)
{
    buf_append_char(t->out, ' ');
    put_number(t->out, value, decimals);
    buf_append_char(t->out, '\n');
}

void metric_family(struct metric_text *t, const char *name, enum metric_type type, const char *help)
{
    static const char *const types[] = {[METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_HISTOGRAM] = "histogram"};
    t->family = name;
    buf_printf(t->out, "# HELP %s ", name);
    put_escaped(t->out, str_from(help), '\n');
    buf_printf(t->out, "\n# TYPE %s %s\n", name, types[type]);
}

void metric_put(struct metric_text *t, const struct metric_label *labels, unsigned n_labels, uint64_t value, unsigned decimals)
{
    put_series(t, "", labels, n_labels);
    put_value(t, value, decimals);
}

void metric_put_one(struct metric_text *t, const char *name, enum metric_type type, const char *help, uint64_t value, unsigned decimals)
{
    metric_family(t, name, type, help);
    metric_put(t, NULL, 0, value, decimals);
}

/* `le` comes last. */
static void put_bucket(struct metric_text *t, const struct metric_label *labels, unsigned n_labels, struct str le, uint64_t value)
{
    struct metric_label all[METRIC_LABELS_MAX + 1];
    assert(n_labels <= METRIC_LABELS_MAX);
    for (unsigned i = 0; i < n_labels; i++)
        all[i] = labels[i];
    all[n_labels] = (struct metric_label){"le", le};
    put_series(t, "_bucket", all, n_labels + 1);
    put_value(t, value, 0);
}

void metric_put_histogram(struct metric_text *t, const struct metric_label *labels, unsigned n_labels, const struct metric_scale *scale,
                          const struct metric_reading *reading)
{
    AUTO_BUF struct buf le = {0};
    uint64_t count = 0;
    for (unsigned i = 0; i < scale->n; i++) {
        buf_clear(&le);
        put_number(&le, scale->bounds[i], scale->decimals);
        put_bucket(t, labels, n_labels, buf_str(&le), count += reading->buckets[i]);
    }
    put_bucket(t, labels, n_labels, STR("+Inf"), count += reading->buckets[scale->n]);
    put_series(t, "_sum", labels, n_labels);
    put_value(t, reading->sum, scale->decimals);
    put_series(t, "_count", labels, n_labels);
    put_value(t, count, 0);
}
