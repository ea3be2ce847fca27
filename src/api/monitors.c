/* monitors.c: cron monitors, their environments and their check-ins (protocol §7.2). A monitor comes to be by a check-in with its configuration; here
 * it is looked at and removed. */
#include "internal.h"

#include "picket/base/error.h"

/* Text that no column takes names nothing. */
static bool is_text(struct str s)
{
    return str_is_utf8(s) && str_find(s, 0) == s.n;
}

static void no_monitor(struct http_call *call)
{
    struct str slug = str_take(call->params[1], 50);
    http_answer_error(call, -ERR_NOT_FOUND, arena_printf(&call->arena, "Monitor %.*s not found", STR_ARG(slug)));
}

/* The project and the slug of the path, bound. False: answered. */
static bool bind_monitor(struct api_op *op)
{
    int32_t project;
    if (!api_project_id(op->call, &project))
        return false;
    if (!is_text(op->call->params[1])) {
        no_monitor(op->call);
        return false;
    }
    db_bind_i32(&op->query, project);
    db_bind_text(&op->query, op->call->params[1]);
    return true;
}

static void bind_environment(struct api_op *op)
{
    struct str text;
    if (!http_query_param(op->call, STR("environment"), &text))
        db_bind_null(&op->query);
    else
        db_bind_text(&op->query, is_text(text) ? text : STR("")); /* no environment has no name */
}

/* ---- monitors */

enum monitor_column {
    M_SLUG = 1,
    M_NAME,
    M_TYPE,
    M_VALUE,
    M_UNIT,
    M_TIMEZONE,
    M_MARGIN,
    M_RUNTIME,
    M_FAILURES,
    M_RECOVERY,
    M_CREATED,
    M_UPDATED,
    M_ENVIRONMENT,
    M_STATUS,
    M_LAST,
    M_EXPECTED,
    M_LATEST,
    M_IN_A_ROW,
    M_INCIDENT
};

static void put_schedule(struct json_writer *w, const struct db_rows *rows, int row)
{
    int64_t n;
    struct str value = db_text(rows, row, M_VALUE);
    json_key(w, STR("schedule"));
    json_begin_object(w);
    json_field_str(w, STR("type"), db_text(rows, row, M_TYPE));
    if (!db_is_null(rows, row, M_UNIT) && str_to_i64(value, &n)) {
        json_field_i64(w, STR("value"), n);
        json_field_str(w, STR("unit"), db_text(rows, row, M_UNIT));
    } else {
        json_field_str(w, STR("value"), value);
    }
    json_end_object(w);
}

static void put_environment(struct json_writer *w, const struct db_rows *rows, int row)
{
    json_begin_object(w);
    json_field_str(w, STR("name"), db_text(rows, row, M_ENVIRONMENT));
    json_field_str(w, STR("status"), db_text(rows, row, M_STATUS));
    api_put_time(w, STR("last_check_in_at"), rows, row, M_LAST);
    api_put_time(w, STR("next_expected_at"), rows, row, M_EXPECTED);
    api_put_time(w, STR("next_latest_at"), rows, row, M_LATEST);
    json_field_i64(w, STR("consecutive_failures"), db_i64(rows, row, M_IN_A_ROW));
    api_put_time(w, STR("incident_started_at"), rows, row, M_INCIDENT);
    json_end_object(w);
}

/* Writes the monitor of the row and the environments of all rows that have its slug; returns the first row behind them. */
static int put_monitor(struct json_writer *w, const struct db_rows *rows, int row)
{
    struct str slug = db_text(rows, row, M_SLUG);
    json_begin_object(w);
    json_field_str(w, STR("slug"), slug);
    json_field_str(w, STR("name"), db_text(rows, row, M_NAME));
    put_schedule(w, rows, row);
    json_field_str(w, STR("timezone"), db_text(rows, row, M_TIMEZONE));
    json_field_i64(w, STR("checkin_margin"), db_i64(rows, row, M_MARGIN));
    json_field_i64(w, STR("max_runtime"), db_i64(rows, row, M_RUNTIME));
    json_field_i64(w, STR("failure_issue_threshold"), db_i64(rows, row, M_FAILURES));
    json_field_i64(w, STR("recovery_threshold"), db_i64(rows, row, M_RECOVERY));
    json_field_time(w, STR("created_at"), db_time(rows, row, M_CREATED));
    json_field_time(w, STR("updated_at"), db_time(rows, row, M_UPDATED));
    json_key(w, STR("environments"));
    json_begin_array(w);
    for (; row < db_count(rows) && str_eq(db_text(rows, row, M_SLUG), slug); row++)
        if (!db_is_null(rows, row, M_ENVIRONMENT))
            put_environment(w, rows, row);
    json_end_array(w);
    json_end_object(w);
    return row;
}

static void listed(struct db_query *q, int r, const struct db_rows *rows)
{
    struct api_op *op = api_op_of(q);
    if (!api_has_row(op->call, r, rows, api_no_project))
        return;
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    json_writer_init(&w, &out);
    json_begin_object(&w);
    json_key(&w, STR("items"));
    json_begin_array(&w);
    for (int i = 0; i < db_count(rows) && !db_is_null(rows, i, M_SLUG);)
        i = put_monitor(&w, rows, i);
    json_end_array(&w);
    api_page_end(&w, &op->page, db_i64(rows, 0, 0));
    json_end_object(&w);
    http_answer_json(op->call, 200, &out);
}

void monitor_list(struct http_call *call)
{
    struct api_op *op = api_op_new(call, STMT_MONITOR_PAGE, listed);
    int32_t project;
    if (!api_project_id(call, &project) || !api_page_read(call, &op->page))
        return;
    db_bind_i32(&op->query, project);
    db_bind_i64(&op->query, op->page.per_page);
    db_bind_i64(&op->query, (op->page.page - 1) * op->page.per_page);
    db_bind_null(&op->query);
    api_op_submit(op);
}

static void shown(struct db_query *q, int r, const struct db_rows *rows)
{
    struct http_call *call = api_op_of(q)->call;
    if (!api_has_row(call, r, rows, api_no_project))
        return;
    if (db_is_null(rows, 0, M_SLUG)) {
        no_monitor(call);
        return;
    }
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    json_writer_init(&w, &out);
    (void)put_monitor(&w, rows, 0); /* all rows are of it */
    http_answer_json(call, 200, &out);
}

void monitor_show(struct http_call *call)
{
    struct api_op *op = api_op_new(call, STMT_MONITOR_PAGE, shown);
    int32_t project;
    if (!api_project_id(call, &project))
        return;
    if (!is_text(call->params[1])) {
        no_monitor(call);
        return;
    }
    db_bind_i32(&op->query, project);
    db_bind_i64(&op->query, 1);
    db_bind_i64(&op->query, 0);
    db_bind_text(&op->query, call->params[1]);
    api_op_submit(op);
}

static void dropped(struct db_query *q, int r, const struct db_rows *rows)
{
    struct http_call *call = api_op_of(q)->call;
    if (api_failed(call, r))
        return;
    if (db_i64(rows, 0, 0) == 0)
        no_monitor(call);
    else
        http_answer_empty(call, 204);
}

/* With ?environment= only that one goes. */
void monitor_drop(struct http_call *call)
{
    struct api_op *op = api_op_new(call, STMT_MONITOR_DROP, dropped);
    if (!bind_monitor(op))
        return;
    bind_environment(op);
    api_bind_actor(&op->query, call);
    api_op_submit(op);
}

/* ---- check-ins */

enum check_in_column {
    C_ID,
    C_SDK_ID,
    C_ENVIRONMENT,
    C_STATUS,
    C_STARTED,
    C_EXPECTED,
    C_ENDED,
    C_TIMEOUT,
    C_DURATION,
    C_RELEASE,
    C_TRACE,
    C_EVENT
};

static void put_check_in(struct json_writer *w, const struct db_rows *rows, int row, int col)
{
    json_begin_object(w);
    api_put_id_or_null(w, STR("id"), rows, row, col + C_ID);
    api_put_id_or_null(w, STR("check_in_id"), rows, row, col + C_SDK_ID);
    json_field_str(w, STR("environment"), db_text(rows, row, col + C_ENVIRONMENT));
    json_field_str(w, STR("status"), db_text(rows, row, col + C_STATUS));
    json_field_time(w, STR("started_at"), db_time(rows, row, col + C_STARTED));
    api_put_time(w, STR("expected_at"), rows, row, col + C_EXPECTED);
    api_put_time(w, STR("ended_at"), rows, row, col + C_ENDED);
    api_put_time(w, STR("timeout_at"), rows, row, col + C_TIMEOUT);
    if (db_is_null(rows, row, col + C_DURATION))
        json_field_null(w, STR("duration_ms"));
    else
        json_field_i64(w, STR("duration_ms"), db_i64(rows, row, col + C_DURATION));
    json_field_str(w, STR("release"), db_text(rows, row, col + C_RELEASE));
    api_put_id_or_null(w, STR("trace_id"), rows, row, col + C_TRACE);
    api_put_id_or_null(w, STR("event_id"), rows, row, col + C_EVENT);
    json_end_object(w);
}

static void check_ins_listed(struct db_query *q, int r, const struct db_rows *rows)
{
    api_answer_page(api_op_of(q), r, rows, no_monitor, put_check_in);
}

void check_in_list(struct http_call *call)
{
    struct api_op *op = api_op_new(call, STMT_CHECK_IN_PAGE, check_ins_listed);
    if (!api_page_read(call, &op->page) || !bind_monitor(op))
        return;
    db_bind_i64(&op->query, op->page.per_page);
    db_bind_i64(&op->query, (op->page.page - 1) * op->page.per_page);
    bind_environment(op);
    api_op_submit(op);
}
