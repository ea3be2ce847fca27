/* counts.c: see the header. Requests are counted by the http layer, and what is not taken, by project and reason, by the ledger. */
#include "counts.h"

void ingest_collect(const struct ingest_counts *c, struct ingest_reading *ret)
{
    metric_collect(&c->acks, &ret->acks);
    ret->events += metric_read(&c->events);
    ret->left_items += metric_read(&c->left_items);
}

void ingest_put_reading(const struct ingest_reading *reading, struct metric_text *t)
{
    metric_put_one(t, "picket_ingest_events_total", METRIC_COUNTER, "Events in requests that were accepted.", reading->events, 0);
    metric_put_one(t, "picket_ingest_left_items_total", METRIC_COUNTER,
                   "Items that were not taken: broken, too large, surplus, over a quota, or of kinds that are not stored.",
                   reading->left_items, 0);
    metric_family(t, "picket_ingest_ack_seconds", METRIC_HISTOGRAM,
                  "From a request that is there as a whole until what it brings is durable and answered.");
    metric_put_histogram(t, NULL, 0, &metric_seconds, &reading->acks);
}
