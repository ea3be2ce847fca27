/* sessions.c: release health (protocol §7.1): sessions and distinct users per release and environment, and the share that went without a crash. */
#include "internal.h"

enum { BY_RELEASE, BY_TIME };
enum column {
    C_KIND,
    C_AT,
    C_RELEASE,
    C_ENVIRONMENT,
    C_TOTAL,
    C_EXITED,
    C_ERRORED,
    C_ABNORMAL,
    C_UNHANDLED,
    C_CRASHED,
    C_USERS,
    C_CRASHED_USERS
};

/* Null when there is nothing to share. */
static void put_rate(struct json_writer *w, struct str key, int64_t total, int64_t crashed)
{
    if (total <= 0) {
        json_field_null(w, key);
        return;
    }
    json_key(w, key);
    json_put_f64(w, crashed >= total ? 0 : (double)(total - crashed) / (double)total);
}

/* What ended otherwise is errored, too, in the tables, and told apart here (rule 4). */
static void put_sessions(struct json_writer *w, const struct db_rows *rows, int row)
{
    int64_t total = db_i64(rows, row, C_TOTAL), all_errored = db_i64(rows, row, C_ERRORED);
    int64_t abnormal = db_i64(rows, row, C_ABNORMAL), unhandled = db_i64(rows, row, C_UNHANDLED), crashed = db_i64(rows, row, C_CRASHED);
    int64_t errored = all_errored - abnormal - unhandled - crashed;
    json_key(w, STR("sessions"));
    json_begin_object(w);
    json_field_i64(w, STR("total"), total);
    json_field_i64(w, STR("healthy"), total > all_errored ? total - all_errored : 0);
    json_field_i64(w, STR("exited"), db_i64(rows, row, C_EXITED));
    json_field_i64(w, STR("errored"), errored > 0 ? errored : 0);
    json_field_i64(w, STR("abnormal"), abnormal);
    json_field_i64(w, STR("unhandled"), unhandled);
    json_field_i64(w, STR("crashed"), crashed);
    json_end_object(w);
    put_rate(w, STR("crash_free_sessions"), total, crashed);
}

static void put_users(struct json_writer *w, int64_t total, int64_t crashed)
{
    json_key(w, STR("users"));
    json_begin_object(w);
    json_field_i64(w, STR("total"), total);
    json_field_i64(w, STR("crashed"), crashed);
    json_end_object(w);
    put_rate(w, STR("crash_free_users"), total, crashed);
}

static void put_line(struct json_writer *w, const struct db_rows *rows, int row, int64_t kind)
{
    json_begin_object(w);
    if (kind == BY_TIME) {
        json_field_time(w, STR("time"), db_time(rows, row, C_AT));
    } else {
        json_field_str(w, STR("release"), db_text(rows, row, C_RELEASE));
        json_field_str(w, STR("environment"), db_text(rows, row, C_ENVIRONMENT));
    }
    put_sessions(w, rows, row);
    put_users(w, db_i64(rows, row, C_USERS), db_i64(rows, row, C_CRASHED_USERS));
    json_end_object(w);
}

static void put_lines(struct json_writer *w, struct str key, const struct db_rows *rows, int64_t kind)
{
    json_key(w, key);
    json_begin_array(w);
    for (int i = 0; i < db_count(rows); i++)
        if (!db_is_null(rows, i, C_KIND) && db_i64(rows, i, C_KIND) == kind)
            put_line(w, rows, i, kind);
    json_end_array(w);
}

static void found(struct db_query *q, int r, const struct db_rows *rows)
{
    struct api_op *op = api_op_of(q);
    if (!api_has_row(op->call, r, rows, api_no_project))
        return;
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    json_writer_init(&w, &out);
    json_begin_object(&w);
    api_put_window(&w, &op->window);
    put_lines(&w, STR("items"), rows, BY_RELEASE);
    put_lines(&w, STR("series"), rows, BY_TIME);
    json_end_object(&w);
    http_answer_json(op->call, 200, &out);
}

static void bind_filter(struct api_op *op, const char *name)
{
    struct str text;
    if (http_query_param(op->call, str_from(name), &text) && str_is_utf8(text) && str_find(text, 0) == text.n)
        db_bind_text(&op->query, text);
    else
        db_bind_null(&op->query);
}

void session_health(struct http_call *call)
{
    struct api_op *op = api_op_new(call, STMT_SESSION_HEALTH, found);
    int32_t project;
    if (!api_project_id(call, &project) || !api_window_read(call, &op->window))
        return;
    db_bind_i32(&op->query, project);
    db_bind_time(&op->query, op->window.from_us);
    bind_filter(op, "release");
    bind_filter(op, "environment");
    db_bind_text(&op->query, op->window.interval);
    api_op_submit(op);
}
