/* counts.h: what a worker of the digest counts; its thread's alone to write. Private to digest. */
#pragma once

#include "batch.h"
#include "picket/base/metrics.h"
#include "picket/digest/digest.h"

struct digest_counts {
    struct metric_counter records, outcomes[OUTCOME_DEAD + 1];
    struct metric_histogram batches;    /* records of one */
    struct metric_histogram statements; /* µs of one that stored events */
    struct metric_histogram latency;    /* µs of a record, from its receipt */
    struct db_counts db;
};

struct digest_reading { /* of all workers */
    uint64_t records, outcomes[OUTCOME_DEAD + 1];
    struct metric_reading batches, statements, latency;
};

/* The batch is committed: counted and told. */
void digest_count_batch(struct digest_counts *c, const struct batch *b, unsigned worker);
void digest_collect(const struct digest_counts *c, struct digest_reading *ret);         /* adds */
void digest_fill_stats(const struct digest_reading *reading, struct digest_stats *ret); /* with what is counted */
void digest_put_reading(const struct digest_reading *reading, struct metric_text *t);
