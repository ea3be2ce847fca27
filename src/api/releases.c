/* releases.c: the releases and environments that events of a project named, as they were counted (src/digest/rollup.c), and the releases that its sessions did
 * (0040_projects.sql). */
#include "internal.h"

static const char *const sorts[] = {"last_seen", "first_seen", "events", "new_issues", NULL};

enum column { C_TOTAL, C_NAME, C_EVENTS, C_FIRST_SEEN, C_LAST_SEEN, C_NEW_ISSUES, C_SESSIONS, C_CRASHED };

static const struct str release = STR("release"), environment = STR("environment");

/* Null where no sessions are known. */
static void put_sessions(struct json_writer *w, const struct db_rows *rows, int row)
{
    int64_t sessions = db_is_null(rows, row, C_SESSIONS) ? 0 : db_i64(rows, row, C_SESSIONS);
    if (sessions <= 0) {
        json_field_null(w, STR("sessions"));
        json_field_null(w, STR("crash_free_sessions"));
        return;
    }
    int64_t crashed = db_i64(rows, row, C_CRASHED);
    json_field_i64(w, STR("sessions"), sessions);
    json_key(w, STR("crash_free_sessions"));
    json_put_f64(w, crashed >= sessions ? 0 : (double)(sessions - crashed) / (double)sessions);
}

static void answer(struct api_op *op, const struct db_rows *rows, struct str key)
{
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    json_writer_init(&w, &out);
    json_begin_object(&w);
    json_key(&w, STR("items"));
    json_begin_array(&w);
    for (int i = 0; i < db_count(rows) && !db_is_null(rows, i, C_NAME); i++) {
        json_begin_object(&w);
        json_field_str(&w, key, db_text(rows, i, C_NAME));
        json_field_bool(&w, STR("is_rest"), db_text(rows, i, C_NAME).n == 0);
        json_field_time(&w, STR("first_seen"), db_time(rows, i, C_FIRST_SEEN));
        json_field_time(&w, STR("last_seen"), db_time(rows, i, C_LAST_SEEN));
        json_field_i64(&w, STR("events"), db_i64(rows, i, C_EVENTS));
        json_field_i64(&w, STR("new_issues"), db_i64(rows, i, C_NEW_ISSUES));
        if (str_eq(key, release))
            put_sessions(&w, rows, i);
        json_end_object(&w);
    }
    json_end_array(&w);
    api_page_end(&w, &op->page, db_i64(rows, 0, C_TOTAL));
    json_end_object(&w);
    http_answer_json(op->call, 200, &out);
}

static void releases_found(struct db_query *q, int r, const struct db_rows *rows)
{
    struct api_op *op = api_op_of(q);
    if (api_has_row(op->call, r, rows, api_no_project))
        answer(op, rows, release);
}

static void environments_found(struct db_query *q, int r, const struct db_rows *rows)
{
    struct api_op *op = api_op_of(q);
    if (api_has_row(op->call, r, rows, api_no_project))
        answer(op, rows, environment);
}

static void list(struct http_call *call, struct str key, db_done_fn *found)
{
    struct api_op *op = api_op_new(call, STMT_PROJECT_TAG_PAGE, found);
    unsigned sort, order;
    int32_t project;
    if (!api_project_id(call, &project) || !api_page_read(call, &op->page) || !api_choice(call, "sort", sorts, &sort) ||
        !api_choice(call, "order", api_orders, &order))
        return;
    db_bind_i32(&op->query, project);
    db_bind_text(&op->query, key);
    db_bind_text(&op->query, str_from(sorts[sort]));
    db_bind_bool(&op->query, order == API_ASC);
    db_bind_i64(&op->query, op->page.per_page);
    db_bind_i64(&op->query, (op->page.page - 1) * op->page.per_page);
    api_op_submit(op);
}

void release_list(struct http_call *call)
{
    list(call, release, releases_found);
}

void environment_list(struct http_call *call)
{
    list(call, environment, environments_found);
}
