/* health.c: R1 and R2 (contract §1.9). Ready means that a statement came back within a second: the one that is sent for it, or, where that one has to
 * stand in line behind others, one of those. A server whose schema is not up to date yet is not ready, even if its database answers. Beside the contract's
 * members R2 tells that reason, and how many dead letters there are: from the server's memory, because what balancers poll must not count rows. */
#include "internal.h"

enum { PATIENCE_MS = 1000 };

void health_live(struct http_call *call)
{
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    json_writer_init(&w, &out);
    json_begin_object(&w);
    json_field_str(&w, STR("status"), STR("ok"));
    json_end_object(&w);
    http_answer_json(call, 200, &out);
}

struct readiness { /* in the request's pool */
    struct db_query query;
    h2o_timeout_entry_t deadline;
    struct http_call *call;
    const char *why; /* the server's own reason not to be ready, NULL: none */
};

static void dispose(void *memory)
{
    struct readiness *op = memory;
    db_cancel(&op->query);
    h2o_timeout_unlink(&op->deadline);
}

static void answer(struct readiness *op, bool ok)
{
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    const struct api_insight *insight = &api_of(op->call)->config.insight;
    ok = ok && !op->why;
    json_writer_init(&w, &out);
    json_begin_object(&w);
    json_field_str(&w, STR("status"), ok ? STR("ready") : STR("not_ready"));
    json_key(&w, STR("checks"));
    json_begin_object(&w);
    json_field_str(&w, STR("database"), ok ? STR("ok") : STR("error"));
    json_end_object(&w);
    if (op->why)
        json_field_str(&w, STR("reason"), str_from(op->why));
    if (insight->put_dead_letters) {
        json_key(&w, STR("dead_letters"));
        insight->put_dead_letters(insight->arg, &w);
    }
    json_end_object(&w);
    http_answer_json(op->call, ok ? 200 : 503, &out);
}

static bool busy_but_well(const struct readiness *op, int r)
{
    return r == -ERR_DB_BUSY && db_answered_within(op->call->worker->db, PATIENCE_MS);
}

static void pinged(struct db_query *q, int r, const struct db_rows *rows)
{
    struct readiness *op = container_of(q, struct readiness, query);
    (void)rows;
    h2o_timeout_unlink(&op->deadline);
    answer(op, r == 0 || busy_but_well(op, r));
}

static void too_late(h2o_timeout_entry_t *entry)
{
    struct readiness *op = container_of(entry, struct readiness, deadline);
    db_cancel(&op->query);
    answer(op, busy_but_well(op, -ERR_DB_BUSY));
}

void health_ready(struct http_call *call)
{
    struct readiness *op = http_on_dispose(call, sizeof *op, dispose);
    const struct api_insight *insight = &api_of(call)->config.insight;
    op->call = call;
    op->why = insight->unready ? insight->unready(insight->arg) : NULL;
    op->deadline.cb = too_late;
    db_query_init(&op->query, STMT_PING, pinged);
    h2o_timeout_link(call->worker->loop, &call->req->conn->ctx->one_sec_timeout, &op->deadline);
    db_submit(call->worker->db, &op->query);
}
