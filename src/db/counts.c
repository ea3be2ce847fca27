/* counts.c: what pools count (db.h), and its text. */
#include "picket/db/db.h"

void db_collect(const struct db_counts *counts, struct db_reading *ret)
{
    ret->waiting += metric_read(&counts->waiting);
    ret->refused += metric_read(&counts->refused);
    metric_collect(&counts->waits, &ret->waits);
}

static struct metric_label name_of(const struct db_pools *pools)
{
    return (struct metric_label){"pool", str_from(pools->name)};
}

void db_put_metrics(struct metric_text *t, const struct db_pools *pools, unsigned n)
{
    metric_family(t, "picket_db_queries_waiting", METRIC_GAUGE, "Queries that wait for a connection now.");
    for (unsigned i = 0; i < n; i++)
        metric_put(t, (struct metric_label[]){name_of(&pools[i])}, 1, pools[i].reading.waiting, 0);
    metric_family(t, "picket_db_refused_total", METRIC_COUNTER, "Queries that got no connection: too many waited, or it took too long.");
    for (unsigned i = 0; i < n; i++)
        metric_put(t, (struct metric_label[]){name_of(&pools[i])}, 1, pools[i].reading.refused, 0);
    metric_family(t, "picket_db_wait_seconds", METRIC_HISTOGRAM, "How long queries waited for a connection before they were sent.");
    for (unsigned i = 0; i < n; i++)
        metric_put_histogram(t, (struct metric_label[]){name_of(&pools[i])}, 1, &metric_seconds, &pools[i].reading.waits);
}
