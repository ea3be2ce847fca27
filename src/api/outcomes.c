/* outcomes.c: what became of what was sent (protocol §4.8): totals and series, and the last refusals and drops, which say why an event did not
 * arrive. */
#include "internal.h"

#include "picket/protocol/category.h"

enum { CASES_MAX = 200 };

static void put_kind(struct json_writer *w, const struct db_rows *rows, int row, int col)
{
    json_field_str(w, STR("category"), category_name(db_i64(rows, row, col)));
    json_field_str(w, STR("outcome"), outcome_name(db_i64(rows, row, col + 1)));
}

/* 0: the project's own doing; NULL in JSON. */
static void put_key(struct json_writer *w, const struct db_rows *rows, int row, int col)
{
    int64_t key = db_i64(rows, row, col);
    if (key)
        json_field_i64(w, STR("key_id"), key);
    else
        json_field_null(w, STR("key_id"));
}

/* ---- totals and series */

enum { TOTALS, SERIES };

/* Columns: kind, at, category, outcome, reason, key, quantity. */
static void put_lines(struct json_writer *w, const struct db_rows *rows, int64_t kind)
{
    json_begin_array(w);
    for (int i = 0; i < db_count(rows); i++) {
        if (db_is_null(rows, i, 0) || db_i64(rows, i, 0) != kind)
            continue;
        json_begin_object(w);
        if (kind == SERIES)
            json_field_time(w, STR("time"), db_time(rows, i, 1));
        put_kind(w, rows, i, 2);
        if (kind == TOTALS) {
            json_field_str(w, STR("reason"), db_text(rows, i, 4));
            put_key(w, rows, i, 5);
        }
        json_field_i64(w, STR("quantity"), db_i64(rows, i, 6));
        json_end_object(w);
    }
    json_end_array(w);
}

static void summed(struct db_query *q, int r, const struct db_rows *rows)
{
    struct api_op *op = api_op_of(q);
    if (!api_has_row(op->call, r, rows, api_no_project))
        return;
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    json_writer_init(&w, &out);
    json_begin_object(&w);
    api_put_window(&w, &op->window);
    json_key(&w, STR("totals"));
    put_lines(&w, rows, TOTALS);
    json_key(&w, STR("series"));
    put_lines(&w, rows, SERIES);
    json_end_object(&w);
    http_answer_json(op->call, 200, &out);
}

void outcome_summary(struct http_call *call)
{
    struct api_op *op = api_op_new(call, STMT_OUTCOME_SUMMARY, summed);
    int32_t project;
    if (!api_project_id(call, &project) || !api_window_read(call, &op->window))
        return;
    db_bind_i32(&op->query, project);
    db_bind_time(&op->query, op->window.from_us);
    db_bind_text(&op->query, op->window.interval);
    api_op_submit(op);
}

/* ---- refusals and drops */

/* Columns: at, category, outcome, reason, quantity, bytes, client, event id, key. */
static void put_case(struct json_writer *w, const struct db_rows *rows, int row)
{
    json_begin_object(w);
    json_field_time(w, STR("time"), db_time(rows, row, 0));
    put_kind(w, rows, row, 1);
    json_field_str(w, STR("reason"), db_text(rows, row, 3));
    json_field_i64(w, STR("quantity"), db_i64(rows, row, 4));
    json_field_i64(w, STR("bytes"), db_i64(rows, row, 5));
    json_field_str(w, STR("sdk"), db_text(rows, row, 6));
    api_put_id_or_null(w, STR("event_id"), rows, row, 7);
    put_key(w, rows, row, 8);
    json_end_object(w);
}

static void listed(struct db_query *q, int r, const struct db_rows *rows)
{
    struct http_call *call = api_op_of(q)->call;
    if (!api_has_row(call, r, rows, api_no_project))
        return;
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    json_writer_init(&w, &out);
    json_begin_object(&w);
    json_key(&w, STR("items"));
    json_begin_array(&w);
    for (int i = 0; i < db_count(rows) && !db_is_null(rows, i, 0); i++)
        put_case(&w, rows, i);
    json_end_array(&w);
    json_end_object(&w);
    http_answer_json(call, 200, &out);
}

void outcome_cases(struct http_call *call)
{
    int32_t project;
    if (!api_project_id(call, &project))
        return;
    struct api_op *op = api_op_new(call, STMT_OUTCOME_CASES, listed);
    db_bind_i32(&op->query, project);
    db_bind_i64(&op->query, CASES_MAX);
    api_op_submit(op);
}
