/* issue_lists.c: lists of issues: R12 (contract §1.12), and of all projects together.
 *
 * A project's list and its total come from one statement, so they are of one moment. What the contract's dashboard asks for has a statement per sort and order, because
 * each walks an index of its own; inside, the default filter stands by itself so that it can use the partial index. Everything else is issues_search()'s.
 * The list of all projects goes on behind the last issue's place in the sort: an issue that moves meanwhile is met at most once more or not again, all others once. */
#include "issues.h"

#include "picket/api/page.h"
#include "picket/base/clock.h"

enum { COUNT_BEYOND = 1000, PROJECTS_MAX = 1000 }; /* matches that are counted behind a page; projects that can be named */

struct list_op { /* in the request's pool */
    struct db_query query;
    struct http_call *call;
    struct api_page page;
    struct issue_search search;
    struct db_array projects; /* that were named */
    struct page_key key;
    bool by_time; /* what the key is */
};

static void dispose(void *memory)
{
    struct list_op *op = memory;
    db_cancel(&op->query);
    issue_search_done(&op->search);
    db_array_done(&op->projects);
}

static struct list_op *op_new(struct http_call *call, enum db_stmt stmt, db_done_fn *done)
{
    struct list_op *op = http_on_dispose(call, sizeof *op, dispose);
    op->call = call;
    db_query_init(&op->query, stmt, done);
    return op;
}

/* ---- R12 */

enum { BY_NUMBER, BY_LAST_SEEN };
static const char *const sorts[] = {[BY_NUMBER] = "digest_order", [BY_LAST_SEEN] = "last_seen", "first_seen", "events", "users", NULL};

/* Columns: total, then an issue or nulls. */
static void listed(struct db_query *q, int r, const struct db_rows *rows)
{
    struct list_op *op = container_of(q, struct list_op, query);
    if (!api_has_row(op->call, r, rows, api_no_project))
        return;
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    json_writer_init(&w, &out);
    json_begin_object(&w);
    json_key(&w, STR("items"));
    json_begin_array(&w);
    for (int i = 0; i < db_count(rows) && !db_is_null(rows, i, 1); i++)
        issue_put(&w, rows, i, 1);
    json_end_array(&w);
    api_page_end(&w, &op->page, db_i64(rows, 0, 0));
    json_end_object(&w);
    http_answer_json(op->call, 200, &out);
}

static void list_plain(struct list_op *op, int32_t project)
{
    static const enum db_stmt stmts[][2] = {
        [BY_NUMBER] = {[API_DESC] = STMT_ISSUE_PAGE_NUMBER_DESC, [API_ASC] = STMT_ISSUE_PAGE_NUMBER_ASC},
        [BY_LAST_SEEN] = {[API_DESC] = STMT_ISSUE_PAGE_LAST_SEEN_DESC, [API_ASC] = STMT_ISSUE_PAGE_LAST_SEEN_ASC},
    };
    op->query.stmt = stmts[op->search.sort][op->search.order];
    db_bind_i32(&op->query, project);
    db_bind_text(&op->query, issue_search_state(&op->search));
    db_bind_i64(&op->query, op->page.per_page);
    db_bind_i64(&op->query, (op->page.page - 1) * op->page.per_page);
    db_bind_time(&op->query, clock_wall_us());
    db_submit(op->call->worker->db, &op->query);
}

void issue_list(struct http_call *call)
{
    struct list_op *op = op_new(call, STMT_ISSUE_SEARCH, listed);
    int32_t project;
    if (!api_project_id(call, &project) || !api_page_read(call, &op->page) || !issue_search_read(call, sorts, &op->search))
        return;
    if (op->search.query.n == 0 && op->search.sort <= BY_LAST_SEEN) {
        list_plain(op, project);
        return;
    }
    db_bind_i32(&op->query, project);
    db_bind_i32(&op->query, (int32_t)call->user.id);
    issue_search_bind(&op->query, &op->search);
    db_bind_text(&op->query, issue_search_state(&op->search));
    db_bind_text(&op->query, str_from(sorts[op->search.sort]));
    db_bind_text(&op->query, str_from(api_orders[op->search.order]));
    db_bind_i64(&op->query, op->page.per_page);
    db_bind_i64(&op->query, (op->page.page - 1) * op->page.per_page);
    db_bind_i64(&op->query, op->page.page * op->page.per_page + COUNT_BEYOND);
    db_bind_time(&op->query, clock_wall_us());
    db_submit(call->worker->db, &op->query);
}

/* ---- of all projects */

static const char *const sorts_of_all[] = {"last_seen", "first_seen", "events", "users", NULL};
enum { LAST_BY_TIME = 1 };

static void put_cursor(struct json_writer *w, struct list_op *op, const struct db_rows *rows, int last)
{
    AUTO_BUF struct buf cursor = {0};
    op->key.at = op->by_time ? db_time(rows, last, 0) : db_i64(rows, last, 1);
    op->key.id = db_id(rows, last, 2);
    page_key_write(&cursor, &op->key);
    json_field_str(w, STR("next_cursor"), buf_str(&cursor));
}

/* Columns: the key as a time or as a number, then an issue. */
static void listed_of_all(struct db_query *q, int r, const struct db_rows *rows)
{
    struct list_op *op = container_of(q, struct list_op, query);
    if (api_failed(op->call, r))
        return;
    bool has_more = db_count(rows) > op->page.per_page; /* one more was asked for */
    int n = has_more ? (int)op->page.per_page : db_count(rows);
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    json_writer_init(&w, &out);
    json_begin_object(&w);
    json_key(&w, STR("items"));
    json_begin_array(&w);
    for (int i = 0; i < n; i++)
        issue_put(&w, rows, i, 2);
    json_end_array(&w);
    if (has_more) /* absent on the last page, as in lists of events */
        put_cursor(&w, op, rows, n - 1);
    json_field_bool(&w, STR("has_more"), has_more);
    json_end_object(&w);
    http_answer_json(op->call, 200, &out);
}

/* "project_id", as often as it is there; null when it is not. False: answered. */
static bool bind_projects(struct list_op *op)
{
    struct http_call *call = op->call;
    db_array_start(&op->projects, DB_I32);
    for (struct str rest = call->query; rest.p && rest.n;) {
        struct str value = str_cut(&rest, '&');
        int64_t id;
        if (!str_eq(str_cut(&value, '='), STR("project_id")))
            continue;
        if (!str_to_i64(value, &id) || id < 1 || id > INT32_MAX || op->projects.count == PROJECTS_MAX) {
            api_refuse(call, "project_id must be a project's id; there may be a thousand of them");
            return false;
        }
        db_array_i32(&op->projects, (int32_t)id);
    }
    if (op->projects.count)
        db_bind_array(&op->query, &op->projects);
    else
        db_bind_null(&op->query);
    return true;
}

/* False: answered. */
static bool bind_position(struct list_op *op)
{
    struct str text, why = STR("");
    op->by_time = op->search.sort <= LAST_BY_TIME;
    op->key = (struct page_key){.sort = str_from(sorts_of_all[op->search.sort]), .order = str_from(api_orders[op->search.order])};
    bool has_cursor = http_query_param(op->call, STR("cursor"), &text);
    if (has_cursor && page_key_read(text, &op->key, &why) < 0) {
        http_answer_error(op->call, -ERR_INVALID, why);
        return false;
    }
    if (has_cursor && op->by_time && (op->key.at < CLOCK_MIN_US || op->key.at > CLOCK_MAX_US)) {
        api_refuse(op->call, "Invalid cursor format");
        return false;
    }
    if (has_cursor && op->by_time)
        db_bind_time(&op->query, op->key.at);
    else
        db_bind_null(&op->query);
    if (has_cursor && !op->by_time)
        db_bind_i64(&op->query, op->key.at);
    else
        db_bind_null(&op->query);
    if (has_cursor)
        db_bind_id(&op->query, &op->key.id);
    else
        db_bind_null(&op->query);
    return true;
}

void issue_list_all(struct http_call *call)
{
    struct list_op *op = op_new(call, STMT_ISSUE_SEARCH_ALL, listed_of_all);
    if (!api_page_read(call, &op->page) || !issue_search_read(call, sorts_of_all, &op->search))
        return;
    api_bind_text_or_null(&op->query, call->user.token.projects);
    db_bind_i32(&op->query, (int32_t)call->user.id);
    issue_search_bind(&op->query, &op->search);
    db_bind_text(&op->query, issue_search_state(&op->search));
    db_bind_text(&op->query, str_from(sorts_of_all[op->search.sort]));
    db_bind_text(&op->query, str_from(api_orders[op->search.order]));
    db_bind_i64(&op->query, op->page.per_page + 1);
    if (!bind_position(op) || !bind_projects(op))
        return;
    db_bind_time(&op->query, clock_wall_us());
    db_submit(call->worker->db, &op->query);
}
