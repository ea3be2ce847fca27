/* counts.c: see the header. */
#include "counts.h"

#include <inttypes.h>

#include "picket/base/clock.h"
#include "picket/base/log.h"

static void tell_batch(const struct batch *b, const uint64_t n[OUTCOME_DEAD + 1], unsigned worker)
{
    if (n[OUTCOME_DEAD])
        log_line(LOG_WARN, "records went to the dead letters", "count=%" PRIu64 " segment=%" PRIu64 " from=%" PRIu64, n[OUTCOME_DEAD],
                 b->range.segment, b->range.from);
    log_line(LOG_DEBUG, "batch digested", "worker=%u records=%u stored=%" PRIu64 " duplicates=%" PRIu64 " orphans=%" PRIu64, worker,
             b->n_items, n[OUTCOME_STORED], n[OUTCOME_DUPLICATE], n[OUTCOME_ORPHAN]);
}

void digest_count_batch(struct digest_counts *c, const struct batch *b, unsigned worker)
{
    uint64_t n[OUTCOME_DEAD + 1] = {0};
    int64_t now_us = clock_wall_us();
    for (unsigned i = 0; i < b->n_items; i++) {
        n[b->items[i].outcome]++;
        metric_observe(&c->latency, &metric_seconds, now_us - b->items[i].record->received_us);
    }
    for (unsigned i = 0; i <= OUTCOME_DEAD; i++)
        metric_add(&c->outcomes[i], n[i]);
    metric_add(&c->records, b->n_items);
    metric_observe(&c->batches, &metric_pieces, b->n_items);
    tell_batch(b, n, worker);
}

void digest_collect(const struct digest_counts *c, struct digest_reading *ret)
{
    ret->records += metric_read(&c->records);
    for (unsigned i = 0; i <= OUTCOME_DEAD; i++)
        ret->outcomes[i] += metric_read(&c->outcomes[i]);
    metric_collect(&c->batches, &ret->batches);
    metric_collect(&c->statements, &ret->statements);
    metric_collect(&c->latency, &ret->latency);
}

void digest_fill_stats(const struct digest_reading *reading, struct digest_stats *ret)
{
    *ret = (struct digest_stats){
        .batches = metric_count(&reading->batches),
        .records = reading->records,
        .stored = reading->outcomes[OUTCOME_STORED],
        .duplicates = reading->outcomes[OUTCOME_DUPLICATE] + reading->outcomes[OUTCOME_REDELIVERED],
        .orphans = reading->outcomes[OUTCOME_ORPHAN],
        .dead = reading->outcomes[OUTCOME_DEAD],
    };
}

void digest_put_reading(const struct digest_reading *reading, struct metric_text *t)
{
    static const char *const names[] = {
        [OUTCOME_STORED] = "stored",           [OUTCOME_DUPLICATE] = "duplicate", [OUTCOME_ORPHAN] = "orphan",
        [OUTCOME_REDELIVERED] = "redelivered", [OUTCOME_REPORTED] = "reported",   [OUTCOME_DEAD] = "dead"};
    metric_put_one(t, "picket_digest_records_total", METRIC_COUNTER, "Records of the spool that were digested.", reading->records, 0);
    metric_family(t, "picket_digest_outcomes_total", METRIC_COUNTER,
                  "What became of them: events are stored, known already, or of a project that is gone; reported is what is no event.");
    for (unsigned i = OUTCOME_STORED; i <= OUTCOME_DEAD; i++)
        metric_put(t, (struct metric_label[]){{"outcome", str_from(names[i])}}, 1, reading->outcomes[i], 0);
    metric_family(t, "picket_digest_batch_records", METRIC_HISTOGRAM, "Records of a batch.");
    metric_put_histogram(t, NULL, 0, &metric_pieces, &reading->batches);
    metric_family(t, "picket_digest_statement_seconds", METRIC_HISTOGRAM, "How long a statement took that stores the events of a batch.");
    metric_put_histogram(t, NULL, 0, &metric_seconds, &reading->statements);
    metric_family(t, "picket_digest_latency_seconds", METRIC_HISTOGRAM,
                  "From the receipt of a record until it was digested, by the wall clock.");
    metric_put_histogram(t, NULL, 0, &metric_seconds, &reading->latency);
}
