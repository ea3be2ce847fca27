/* rest.c: the rest of a batch: what is no event (sessions, reports, feedback, accounts).
 *
 * It is stored by the statement that claims the range, after everything else (0005_reports.sql says why it is counted once). When one of them
 * cannot be stored, a probe finds out which, without storing any; those go to the dead letters, and then the others are stored.
 * Copies of events are counted and told once: by the statement that stores the batch where that claims the range, else with the rest. */
#include "picket/base/error.h"
#include "worker.h"

enum { PROBES_MAX = 5 };

static void rest_goes_on(struct worker *w)
{
    w->attempts = 0;
    w->backoff_ms = 0;
    worker_store_next(w);
}

/* Columns: place among those that were bound, SQLSTATE, constraint. */
static void on_probed(struct db_query *q, int r, const struct db_rows *rows)
{
    struct worker *w = container_of(q, struct worker, query);
    if (r < 0) {
        worker_back_off(w, r);
        return;
    }
    w->rest = REST_AHEAD;
    if (db_count(rows) == 0 && ++w->n_probes < PROBES_MAX) { /* each can be stored, and all together could not: it may pass */
        worker_back_off(w, -ERR_DB_TRANSIENT);
        return;
    }
    for (unsigned i = 0; i < w->batch.n_items && db_count(rows) == 0; i++)
        if (w->batch.items[i].outcome == OUTCOME_REPORTED)
            batch_give_up(&w->batch, &w->batch.items[i], -ERR_DB_FAILED, q);
    for (int i = db_count(rows) - 1; i >= 0; i--) /* the last place first */
        batch_refuse_rest(&w->batch, (unsigned)db_i64(rows, i, 0), db_text(rows, i, 1), db_text(rows, i, 2));
    rest_goes_on(w); /* the dead are kept, then the others are stored */
}

static void on_rest_stored(struct db_query *q, int r, const struct db_rows *rows)
{
    (void)rows;
    struct worker *w = container_of(q, struct worker, query);
    if (r == 0) {
        worker_settle(w);
    } else if (worker_is_lasting(w, r, q)) {
        w->rest = REST_PROBED;
        rest_goes_on(w);
    } else {
        worker_back_off(w, r);
    }
}

static void submit_rest(struct worker *w)
{
    if (w->rest == REST_PROBED) {
        db_query_init(&w->query, STMT_DIGEST_REPORTS_PROBE, on_probed);
    } else {
        db_query_init(&w->query, STMT_DIGEST_REPORTS, on_rest_stored);
        batch_bind_claim(&w->batch, &w->query, &w->digest->node);
    }
    batch_bind_rest(&w->batch, &w->query);
    db_submit(w->db, &w->query);
}

void rest_store(struct worker *w)
{
    if (!batch_has_rest(&w->batch)) {
        worker_settle(w);
        return;
    }
    if (w->rest == REST_AHEAD)
        w->rest = REST_TOGETHER;
    submit_rest(w);
}
