/* rest.c: the rest of a batch: what is no event (sessions, reports, feedback, accounts).
 *
 * It is stored by the statement that claims the range, after everything else (0005_reports.sql says why it is counted once). When one of them
 * cannot be stored, a probe finds out which, without storing any; those go to the dead letters, and then the others are stored.
 *
 * One that keeps running out of time is stored in parts, in the order of receipt, each in a transaction of its own: halves, and halves of
 * those, down to one record, which is tried for ever as an event is. Only the last part claims the range, so that a range whose parts are not
 * all stored is delivered again, and then what is stored is known by the ids of its records (report_ids). A probe that runs out of time goes
 * on with half of its part.
 *
 * Copies of events are counted and told once: by the statement that stores the batch where that claims the range, else with the last part. */
#include "picket/base/error.h"
#include "worker.h"

enum { PROBES_MAX = 5 };

static struct batch_part next_part(const struct worker *w)
{
    struct slice s = w->slices[w->n_slices - 1];
    return (struct batch_part){.from = s.from, .to = s.to, .is_last = w->n_slices == 1};
}

static void go_on(struct worker *w)
{
    w->attempts = 0;
    w->backoff_ms = 0;
    worker_store_next(w);
}

/* One report alone is parted from the claim, and then no more. */
static bool can_be_parted(const struct worker *w, const struct batch_part *part)
{
    unsigned n = batch_count_part(&w->batch, part);
    return n > 1 || (n == 1 && part->is_last);
}

static void part_or_back_off(struct worker *w, int r)
{
    struct batch_part part = next_part(w);
    if (!worker_is_too_long(w, r) || !can_be_parted(w, &part)) {
        worker_back_off(w, r);
        return;
    }
    w->rest = REST_STORED;
    w->n_probes = 0;
    worker_halve(w, batch_middle_of_part(&w->batch, &part));
}

/* Columns: place among those that were bound, SQLSTATE, constraint. */
static void on_probed(struct db_query *q, int r, const struct db_rows *rows)
{
    struct worker *w = container_of(q, struct worker, query);
    struct batch_part part = next_part(w);
    if (r < 0) {
        part_or_back_off(w, r);
        return;
    }
    w->rest = REST_REFUSED;
    if (db_count(rows) == 0 && ++w->n_probes < PROBES_MAX) { /* each can be stored, and all together could not: it may pass */
        worker_back_off(w, -ERR_DB_TRANSIENT);
        return;
    }
    for (unsigned i = part.from; i < part.to && db_count(rows) == 0; i++)
        if (w->batch.items[i].outcome == OUTCOME_REPORTED)
            batch_give_up(&w->batch, &w->batch.items[i], -ERR_DB_FAILED, q);
    for (int i = db_count(rows) - 1; i >= 0; i--) /* the last place first */
        batch_refuse_rest(&w->batch, &part, (unsigned)db_i64(rows, i, 0), db_text(rows, i, 1), db_text(rows, i, 2));
    go_on(w); /* the dead are kept, then the others are stored */
}

static void on_part_stored(struct db_query *q, int r, const struct db_rows *rows)
{
    (void)rows;
    struct worker *w = container_of(q, struct worker, query);
    if (r == 0) {
        w->n_probes = 0;
        if (--w->n_slices)
            go_on(w);
        else
            worker_settle(w);
    } else if (worker_is_lasting(w, r, q)) {
        w->rest = REST_PROBED;
        go_on(w);
    } else {
        part_or_back_off(w, r);
    }
}

static void submit_part(struct worker *w)
{
    struct batch_part part = next_part(w);
    if (w->rest == REST_PROBED) {
        db_query_init(&w->query, STMT_DIGEST_REPORTS_PROBE, on_probed);
    } else {
        db_query_init(&w->query, STMT_DIGEST_REPORTS, on_part_stored);
        batch_bind_claim(&w->batch, &w->query, &w->digest->node, &part);
    }
    batch_bind_rest(&w->batch, &w->query, &part);
    db_submit(w->db, &w->query);
}

void rest_store(struct worker *w)
{
    if (!batch_has_rest(&w->batch)) {
        worker_settle(w);
        return;
    }
    if (w->rest == REST_AHEAD)
        w->slices[w->n_slices++] = (struct slice){0, w->batch.n_items};
    if (w->rest != REST_PROBED)
        w->rest = REST_STORED;
    submit_part(w);
}
