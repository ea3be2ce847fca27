/* issue_bulk.c: many issues at once: those of a list of ids, or those that a query finds. One statement, of a bounded size; with a query, whoever wants all of them asks
 * again while `has_more` is true: only issues that the change would change are looked for. */
#include "issues.h"

#include "picket/base/clock.h"

enum { BULK_MAX = 1000 };

struct bulk_op { /* in the request's pool */
    struct db_query query;
    struct http_call *call;
    struct issue_search search;
    struct db_array ids;
    struct issue_wish wish;
};

static void dispose(void *memory)
{
    struct bulk_op *op = memory;
    db_cancel(&op->query);
    issue_search_done(&op->search);
    db_array_done(&op->ids);
}

static struct bulk_op *op_new(struct http_call *call, enum db_stmt stmt, db_done_fn *done)
{
    struct bulk_op *op = http_on_dispose(call, sizeof *op, dispose);
    op->call = call;
    db_query_init(&op->query, stmt, done);
    return op;
}

/* False: answered. */
static bool read_ids(struct bulk_op *op, const struct json *ids)
{
    if (json_type(ids) != JSON_ARRAY || json_count(ids) > BULK_MAX) {
        api_refuse(op->call, "ids must be a list of at most 1000 ids of issues");
        return false;
    }
    db_array_start(&op->ids, DB_ID);
    for (struct json_iter it = json_iter(ids); json_next(&it);) {
        struct str text;
        struct id128 id;
        if (!json_str_raw(it.value, &text) || !id_parse(text, &id)) {
            api_refuse(op->call, "ids must be a list of ids of issues");
            return false;
        }
        db_array_id(&op->ids, &id);
    }
    return true;
}

/* "ids" or "q". False: answered. */
static bool read_which(struct bulk_op *op, bool *ret_by_query)
{
    struct http_call *call = op->call;
    const struct json *ids = json_get(json_root(call->body), STR("ids"));
    bool has_ids = json_type(ids) != JSON_NONE && json_type(ids) != JSON_NULL;
    struct str q;
    if (!api_body_str(call, "q", &q))
        return false;
    *ret_by_query = q.p != NULL;
    if (has_ids == *ret_by_query) {
        api_refuse(call, "either ids or q says which issues");
        return false;
    }
    if (has_ids)
        return read_ids(op, ids);
    if (!issue_search_parse(call, q, &op->search))
        return false;
    if (op->search.query.n == 0)
        api_refuse(call, "q must not be empty; is:open, is:resolved and is:muted are all issues of a state");
    return op->search.query.n > 0;
}

/* What the change would change. False: answered. */
static bool narrow(struct bulk_op *op)
{
    struct str fields[2];
    unsigned n = 0;
    const struct issue_wish *wish = &op->wish;
    if (wish->action.p) {
        bool resolves = str_eq(wish->action, STR("resolve")), mutes = str_eq(wish->action, STR("mute"));
        fields[n++] = resolves                                 ? STR("unresolved")
                      : mutes                                  ? STR("open")
                      : str_eq(wish->action, STR("unresolve")) ? STR("resolved")
                                                               : STR("muted");
    }
    if (wish->assigns)
        fields[n++] = wish->assignee ? STR("not_assigned_to") : STR("assigned");
    if (query_add_any(&op->search.query, fields, n, wish->assignee) == 0)
        return true;
    api_refuse(op->call, "q has too many terms");
    return false;
}

/* The first twelve parameters. */
static void bind_which(struct bulk_op *op, int32_t project, bool by_query)
{
    db_bind_i32(&op->query, project);
    db_bind_i32(&op->query, (int32_t)op->call->user.id);
    issue_search_bind(&op->query, &op->search);
    if (by_query)
        db_bind_null(&op->query);
    else
        db_bind_array(&op->query, &op->ids);
    db_bind_i64(&op->query, BULK_MAX);
}

/* Columns: how many, how many changed (unless it is a deletion), are there more? */
static void answer(struct bulk_op *op, const struct db_rows *rows, const char *const *names, int n)
{
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    if (db_count(rows) == 0) {
        api_no_project(op->call);
        return;
    }
    json_writer_init(&w, &out);
    json_begin_object(&w);
    for (int i = 0; i < n; i++)
        json_field_i64(&w, str_from(names[i]), db_i64(rows, 0, i));
    json_field_bool(&w, STR("has_more"), db_bool(rows, 0, n));
    json_end_object(&w);
    http_answer_json(op->call, 200, &out);
}

static void changed(struct db_query *q, int r, const struct db_rows *rows)
{
    static const char *const names[] = {"matched", "changed"};
    struct bulk_op *op = container_of(q, struct bulk_op, query);
    if (!issue_wish_failed(op->call, q, r))
        answer(op, rows, names, ARRAY_LEN(names));
}

void issue_bulk_change(struct http_call *call)
{
    struct bulk_op *op = op_new(call, STMT_ISSUE_BULK_CHANGE, changed);
    int32_t project;
    bool by_query;
    if (!api_project_id(call, &project) || !issue_wish_read(call, &op->wish) || !read_which(op, &by_query))
        return;
    if (!op->wish.action.p && !op->wish.assigns) {
        api_refuse(call, "one of is_resolved, is_muted and assignee_id says what is to be changed");
        return;
    }
    if (by_query && !narrow(op))
        return;
    bind_which(op, project, by_query);
    issue_wish_bind(&op->query, &op->wish);
    db_bind_time(&op->query, clock_wall_us());
    db_submit(call->worker->db, &op->query);
}

static void deleted(struct db_query *q, int r, const struct db_rows *rows)
{
    static const char *const names[] = {"deleted"};
    struct bulk_op *op = container_of(q, struct bulk_op, query);
    if (!api_failed(op->call, r))
        answer(op, rows, names, ARRAY_LEN(names));
}

void issue_bulk_delete(struct http_call *call)
{
    struct bulk_op *op = op_new(call, STMT_ISSUE_BULK_DELETE, deleted);
    int32_t project;
    bool by_query;
    if (!api_project_id(call, &project) || !read_which(op, &by_query))
        return;
    bind_which(op, project, by_query);
    api_bind_actor(&op->query, call);
    db_submit(call->worker->db, &op->query);
}
