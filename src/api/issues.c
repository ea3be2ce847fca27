/* issues.c: R12 – R15 (contract §1.12). The list and its total come from one statement, so they are of one moment. There is a statement per sort
 * and order, because each walks an index of its own; inside, the default filter stands by itself so that it can use the partial index. */
#include "internal.h"

#include "picket/base/clock.h"

/* Columns from `col`: id, short_id, title, value, first_seen, last_seen, event_count, level, platform, is_resolved, is_muted. */
static void put_issue(struct json_writer *w, int32_t project, const struct db_rows *rows, int row, int col)
{
    struct id128 id = db_id(rows, row, col);
    json_begin_object(w);
    api_put_id(w, STR("id"), &id);
    json_field_i64(w, STR("project_id"), project);
    json_field_str(w, STR("short_id"), db_text(rows, row, col + 1));
    json_field_str(w, STR("title"), db_text(rows, row, col + 2));
    json_field_str(w, STR("value"), db_text(rows, row, col + 3));
    json_field_time(w, STR("first_seen"), db_time(rows, row, col + 4));
    json_field_time(w, STR("last_seen"), db_time(rows, row, col + 5));
    json_field_i64(w, STR("event_count"), db_i64(rows, row, col + 6));
    api_put_text(w, STR("level"), rows, row, col + 7);
    api_put_text(w, STR("platform"), rows, row, col + 8);
    json_field_bool(w, STR("is_resolved"), db_bool(rows, row, col + 9));
    json_field_bool(w, STR("is_muted"), db_bool(rows, row, col + 10));
    json_end_object(w);
}

struct issue_op { /* in the request's pool */
    struct db_query query;
    struct http_call *call;
    int32_t project;
    struct id128 issue;
    struct api_page page;
    bool mutes;
};

static void dispose(void *memory)
{
    db_cancel(&((struct issue_op *)memory)->query);
}

static struct issue_op *op_new(struct http_call *call, db_done_fn *done)
{
    struct issue_op *op = http_on_dispose(call, sizeof *op, dispose);
    op->call = call;
    db_query_init(&op->query, STMT_ISSUE_SHOW, done);
    return op;
}

/* ---- R12 */

static const char *const sorts[] = {"digest_order", "last_seen", NULL};
static const char *const filters[] = {"open", "resolved", "muted", "all", NULL};

/* Columns: total, then an issue or nulls. */
static void listed(struct db_query *q, int r, const struct db_rows *rows)
{
    struct issue_op *op = container_of(q, struct issue_op, query);
    if (api_failed(op->call, r))
        return;
    if (db_count(rows) == 0) {
        api_no_project(op->call);
        return;
    }
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    json_writer_init(&w, &out);
    json_begin_object(&w);
    json_key(&w, STR("items"));
    json_begin_array(&w);
    for (int i = 0; i < db_count(rows) && !db_is_null(rows, i, 1); i++)
        put_issue(&w, op->project, rows, i, 1);
    json_end_array(&w);
    api_page_end(&w, &op->page, db_i64(rows, 0, 0));
    json_end_object(&w);
    http_answer_json(op->call, 200, &out);
}

void issue_list(struct http_call *call)
{
    static const enum db_stmt stmts[][2] = {
        {[API_DESC] = STMT_ISSUE_PAGE_NUMBER_DESC, [API_ASC] = STMT_ISSUE_PAGE_NUMBER_ASC},
        {[API_DESC] = STMT_ISSUE_PAGE_LAST_SEEN_DESC, [API_ASC] = STMT_ISSUE_PAGE_LAST_SEEN_ASC},
    };
    struct issue_op *op = op_new(call, listed);
    unsigned sort, order, filter;
    if (!api_project_id(call, &op->project) || !api_page_read(call, &op->page) || !api_choice(call, "sort", sorts, &sort) ||
        !api_choice(call, "order", api_orders, &order) || !api_choice(call, "filter", filters, &filter))
        return;
    op->query.stmt = stmts[sort][order];
    db_bind_i32(&op->query, op->project);
    db_bind_text(&op->query, str_from(filters[filter]));
    db_bind_i64(&op->query, op->page.per_page);
    db_bind_i64(&op->query, (op->page.page - 1) * op->page.per_page);
    db_submit(call->worker->db, &op->query);
}

/* ---- R13, R14 */

static void no_issue(const struct issue_op *op)
{
    struct http_call *call = op->call;
    if (op->mutes)
        http_answer_error(call, -ERR_NOT_FOUND,
                          arena_printf(&call->arena, "Issue %.*s not found or already resolved", STR_ARG(call->params[1])));
    else
        api_no_issue(call);
}

static void shown(struct db_query *q, int r, const struct db_rows *rows)
{
    struct issue_op *op = container_of(q, struct issue_op, query);
    if (api_failed(op->call, r))
        return;
    if (db_count(rows) == 0) {
        no_issue(op);
        return;
    }
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    json_writer_init(&w, &out);
    put_issue(&w, op->project, rows, 0, 0);
    http_answer_json(op->call, 200, &out);
}

static void show(struct issue_op *op)
{
    db_bind_i32(&op->query, op->project);
    db_bind_id(&op->query, &op->issue);
    db_submit(op->call->worker->db, &op->query);
}

void issue_show(struct http_call *call)
{
    struct issue_op *op = op_new(call, shown);
    if (api_issue_id(call, &op->project, &op->issue))
        show(op);
}

/* Exactly one action is applied, in this order: is_resolved, then is_muted (contract §1.12 R14). */
void issue_change(struct http_call *call)
{
    struct issue_op *op = op_new(call, shown);
    bool has_resolved, resolved = false, has_muted, muted = false;
    if (!api_issue_id(call, &op->project, &op->issue) || !api_body_flag(call, "is_resolved", &resolved, &has_resolved) ||
        !api_body_flag(call, "is_muted", &muted, &has_muted))
        return;
    if (!has_resolved && !has_muted) {
        show(op);
        return;
    }
    const char *action = has_resolved ? (resolved ? "resolve" : "unresolve") : muted ? "mute" : "unmute";
    op->mutes = !has_resolved && muted;
    db_query_init(&op->query, STMT_ISSUE_CHANGE, shown);
    db_bind_i32(&op->query, op->project);
    db_bind_id(&op->query, &op->issue);
    db_bind_text(&op->query, str_from(action));
    db_bind_i32(&op->query, (int32_t)call->user.id);
    db_bind_time(&op->query,
                 clock_wall_us()); /* what digest compares receipt times with: both are this server's clock, not the database's */
    db_submit(call->worker->db, &op->query);
}

/* ---- R15 */

static void deleted(struct db_query *q, int r, const struct db_rows *rows)
{
    struct issue_op *op = container_of(q, struct issue_op, query);
    if (api_failed(op->call, r))
        return;
    if (db_count(rows) == 0)
        api_no_issue(op->call);
    else
        http_answer_empty(op->call, 204);
}

/* Its events are shown by nothing from now on; their rows go with their day (migration 0034). */
void issue_delete(struct http_call *call)
{
    struct issue_op *op = op_new(call, deleted);
    if (!api_issue_id(call, &op->project, &op->issue))
        return;
    db_query_init(&op->query, STMT_ISSUE_DELETE, deleted);
    db_bind_i32(&op->query, op->project);
    db_bind_id(&op->query, &op->issue);
    db_submit(call->worker->db, &op->query);
}
