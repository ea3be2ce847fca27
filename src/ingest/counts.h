/* counts.h: what a worker of the server counts of the requests that it takes. Private to ingest; its thread's alone to write. */
#pragma once

#include "picket/base/metrics.h"

struct ingest_counts {
    struct metric_histogram acks; /* µs from the whole request to its durable records */
    struct metric_counter events; /* in answers of 2xx */
    struct metric_counter left_items;
};

struct ingest_reading { /* of all workers */
    struct metric_reading acks;
    uint64_t events, left_items;
};
void ingest_collect(const struct ingest_counts *c, struct ingest_reading *ret); /* adds */
void ingest_put_reading(const struct ingest_reading *reading, struct metric_text *t);
