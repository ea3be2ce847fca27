/* counts.c: the text of what the spool counts: what is told in spool_stats, and what the commit thread measures. */
#include "internal.h"

static void put_commits(const struct spool_counts *counts, struct metric_text *t)
{
    struct metric_reading records = {0}, bytes = {0}, syncs = {0};
    metric_collect(&counts->records, &records);
    metric_collect(&counts->bytes, &bytes);
    metric_collect(&counts->syncs, &syncs);
    metric_family(t, "picket_spool_commit_records", METRIC_HISTOGRAM, "Records that shared a write and an fdatasync.");
    metric_put_histogram(t, NULL, 0, &metric_pieces, &records);
    metric_family(t, "picket_spool_commit_bytes", METRIC_HISTOGRAM, "Bytes of such a group of records.");
    metric_put_histogram(t, NULL, 0, &metric_bytes, &bytes);
    metric_family(t, "picket_spool_sync_seconds", METRIC_HISTOGRAM, "How long an fdatasync of the spool took.");
    metric_put_histogram(t, NULL, 0, &metric_seconds, &syncs);
}

void spool_put_metrics(struct spool *s, struct metric_text *t)
{
    struct spool_stats stats;
    spool_stats(s, &stats);
    metric_put_one(t, "picket_spool_bytes", METRIC_GAUGE, "Bytes that wait to be digested, on disk and in memory.", stats.bytes, 0);
    metric_put_one(t, "picket_spool_max_bytes", METRIC_GAUGE, "Beyond so many, records are refused (SPOOL_MAX_BYTES).", s->config.max_bytes,
                   0);
    metric_put_one(t, "picket_spool_records_total", METRIC_COUNTER, "Records that were made durable.", stats.records_appended, 0);
    metric_put_one(t, "picket_spool_refused_total", METRIC_COUNTER, "Appends, each of one request, that were refused or failed.",
                   stats.refused, 0);
    metric_put_one(t, "picket_spool_turned_away_total", METRIC_COUNTER,
                   "Requests whose project brings more than its share of what can be digested.", stats.turned_away, 0);
    metric_put_one(t, "picket_spool_quarantined_total", METRIC_COUNTER, "Damaged places that were set aside.", stats.quarantined, 0);
    metric_put_one(t, "picket_spool_seals_total", METRIC_COUNTER, "Segments that a failed write or fdatasync ended.", stats.seals, 0);
    put_commits(s->counts, t);
}
