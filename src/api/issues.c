/* issues.c: one issue: R13 – R15 (contract §1.12), by its id or its short id. What is shown of it is issue_items()'s (sql/migrations/0038_search.sql), which lists use,
 * too (issue_lists.c). */
#include "issues.h"

#include "picket/base/clock.h"

static void put_assignee(struct json_writer *w, const struct db_rows *rows, int row, int col)
{
    json_key(w, STR("assignee"));
    if (db_is_null(rows, row, col)) {
        json_put_null(w);
        return;
    }
    json_begin_object(w);
    json_field_i64(w, STR("id"), db_i64(rows, row, col));
    json_field_str(w, STR("email"), db_text(rows, row, col + 1));
    json_end_object(w);
}

void issue_put(struct json_writer *w, const struct db_rows *rows, int row, int col)
{
    struct id128 id = db_id(rows, row, col);
    json_begin_object(w);
    api_put_id(w, STR("id"), &id);
    json_field_i64(w, STR("project_id"), db_i64(rows, row, col + 11));
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
    json_field_str(w, STR("type"), db_text(rows, row, col + 12));
    json_field_str(w, STR("culprit"), db_text(rows, row, col + 13));
    json_field_i64(w, STR("users"), db_i64(rows, row, col + 14));
    put_assignee(w, rows, row, col + 15);
    api_put_text(w, STR("last_release"), rows, row, col + 17);
    json_key(w, STR("stats_24h"));
    json_put_raw(w, db_text(rows, row, col + 18));
    json_key(w, STR("stats_14d"));
    json_put_raw(w, db_text(rows, row, col + 19));
    json_end_object(w);
}

struct issue_op { /* in the request's pool */
    struct db_query query;
    struct http_call *call;
    int32_t project;
    struct id128 issue;
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

static void answer_issue(struct http_call *call, const struct db_rows *rows)
{
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    json_writer_init(&w, &out);
    issue_put(&w, rows, 0, 0);
    http_answer_json(call, 200, &out);
}

static void shown(struct db_query *q, int r, const struct db_rows *rows)
{
    struct issue_op *op = container_of(q, struct issue_op, query);
    if (issue_wish_failed(op->call, q, r))
        return;
    if (db_count(rows) == 0)
        no_issue(op);
    else
        answer_issue(op->call, rows);
}

static void show(struct issue_op *op)
{
    db_bind_i32(&op->query, op->project);
    db_bind_id(&op->query, &op->issue);
    db_bind_time(&op->query, clock_wall_us());
    db_submit(op->call->worker->db, &op->query);
}

void issue_show(struct http_call *call)
{
    struct issue_op *op = op_new(call, shown);
    if (api_issue_id(call, &op->project, &op->issue))
        show(op);
}

/* Of is_resolved and is_muted one is applied, in this order (contract §1.12 R14); the assignee besides. */
bool issue_wish_read(struct http_call *call, struct issue_wish *ret)
{
    bool has_resolved, resolved = false, has_muted, muted = false;
    const struct json *assignee = json_get(json_root(call->body), STR("assignee_id"));
    *ret = (struct issue_wish){.assigns = json_type(assignee) != JSON_NONE};
    if (!api_body_flag(call, "is_resolved", &resolved, &has_resolved) || !api_body_flag(call, "is_muted", &muted, &has_muted))
        return false;
    if (has_resolved)
        ret->action = resolved ? STR("resolve") : STR("unresolve");
    else if (has_muted)
        ret->action = muted ? STR("mute") : STR("unmute");
    if (!ret->assigns || json_type(assignee) == JSON_NULL)
        return true;
    if (json_i64(assignee, &ret->assignee) && ret->assignee > 0 && ret->assignee <= INT32_MAX)
        return true;
    api_refuse(call, "assignee_id must be the id of a user, or null");
    return false;
}

void issue_wish_bind(struct db_query *q, const struct issue_wish *wish)
{
    api_bind_text_or_null(q, wish->action);
    db_bind_bool(q, wish->assigns);
    if (wish->assignee)
        db_bind_i32(q, (int32_t)wish->assignee);
    else
        db_bind_null(q);
}

bool issue_wish_failed(struct http_call *call, const struct db_query *q, int r)
{
    if (r == -ERR_DB_FAILED && str_eq(str_from(q->sqlstate), STR("23503"))) { /* issues_change() says so */
        api_refuse(call, "assignee_id must be the id of an active user who sees the project");
        return true;
    }
    return api_failed(call, r);
}

void issue_change(struct http_call *call)
{
    struct issue_op *op = op_new(call, shown);
    struct issue_wish wish;
    if (!api_issue_id(call, &op->project, &op->issue) || !issue_wish_read(call, &wish))
        return;
    if (!wish.action.p && !wish.assigns) {
        show(op);
        return;
    }
    op->mutes = wish.action.p && str_eq(wish.action, STR("mute"));
    db_query_init(&op->query, STMT_ISSUE_CHANGE, shown);
    db_bind_i32(&op->query, op->project);
    db_bind_id(&op->query, &op->issue);
    issue_wish_bind(&op->query, &wish);
    db_bind_i32(&op->query, (int32_t)call->user.id);
    db_bind_time(&op->query,
                 clock_wall_us()); /* what digest compares receipt times with: both are this server's clock, not the database's */
    db_submit(call->worker->db, &op->query);
}

/* ---- by short id */

static void no_short_id(struct http_call *call)
{
    enum { SHOWN = 80 };
    http_answer_error(call, -ERR_NOT_FOUND, arena_printf(&call->arena, "Issue %.*s not found", STR_ARG(str_take(call->params[0], SHOWN))));
}

static void found(struct db_query *q, int r, const struct db_rows *rows)
{
    struct issue_op *op = container_of(q, struct issue_op, query);
    if (api_has_row(op->call, r, rows, no_short_id))
        answer_issue(op->call, rows);
}

void issue_show_short(struct http_call *call)
{
    struct issue_op *op = op_new(call, found);
    struct str id = call->params[0];
    size_t dash = id.n;
    int64_t number;
    while (dash > 0 && id.p[dash - 1] != '-')
        dash--;
    if (dash < 2 || !str_to_i64(str_drop(id, dash), &number) || number < 1 || number > INT32_MAX || !str_is_utf8(id) ||
        str_find(id, '\0') < id.n) {
        no_short_id(call);
        return;
    }
    db_query_init(&op->query, STMT_ISSUE_BY_SHORT_ID, found);
    db_bind_text(&op->query, str_take(id, dash - 1));
    db_bind_i32(&op->query, (int32_t)number);
    db_bind_i32(&op->query, (int32_t)call->user.id);
    api_bind_text_or_null(&op->query, call->user.token.projects);
    db_bind_time(&op->query, clock_wall_us());
    db_submit(call->worker->db, &op->query);
}

/* ---- R15 */

static void deleted(struct db_query *q, int r, const struct db_rows *rows)
{
    struct issue_op *op = container_of(q, struct issue_op, query);
    api_answer_gone(op->call, r, rows, api_no_issue);
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
    api_bind_actor(&op->query, call);
    db_submit(call->worker->db, &op->query);
}
