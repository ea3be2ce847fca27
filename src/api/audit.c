/* audit.c: who changed what, from where. Rows are made by audit_note() in the statements that change something (migration 0036). */
#include "internal.h"

enum column { A_ID, A_AT, A_USER, A_EMAIL, A_TOKEN, A_ADDRESS, A_ACTION, A_PROJECT, A_TARGET, A_DETAILS };
enum { ACTION_MAX = 64 };

static void put_number(struct json_writer *w, struct str key, const struct db_rows *rows, int row, int col)
{
    if (db_is_null(rows, row, col))
        json_field_null(w, key);
    else
        json_field_i64(w, key, db_i64(rows, row, col));
}

static void put_note(struct json_writer *w, const struct db_rows *rows, int row, int col)
{
    json_begin_object(w);
    json_field_i64(w, STR("id"), db_i64(rows, row, col + A_ID));
    json_field_time(w, STR("at"), db_time(rows, row, col + A_AT));
    put_number(w, STR("user_id"), rows, row, col + A_USER);
    api_put_text(w, STR("user_email"), rows, row, col + A_EMAIL);
    put_number(w, STR("token_id"), rows, row, col + A_TOKEN);
    api_put_text(w, STR("address"), rows, row, col + A_ADDRESS);
    json_field_str(w, STR("action"), db_text(rows, row, col + A_ACTION));
    put_number(w, STR("project_id"), rows, row, col + A_PROJECT);
    api_put_text(w, STR("target"), rows, row, col + A_TARGET);
    json_key(w, STR("details"));
    json_put_raw(w, db_is_null(rows, row, col + A_DETAILS) ? STR("{}") : db_text(rows, row, col + A_DETAILS));
    json_end_object(w);
}

static void listed(struct db_query *q, int r, const struct db_rows *rows)
{
    api_answer_span(api_op_of(q), r, rows, put_note);
}

/* A parameter that is a number, or null. False: answered. */
static bool bind_number(struct api_op *op, const char *name)
{
    struct str text;
    int64_t id;
    if (!http_query_param(op->call, str_from(name), &text)) {
        db_bind_null(&op->query);
        return true;
    }
    if (!str_to_i64(text, &id) || id < 1 || id > INT32_MAX) {
        http_answer_error(op->call, -ERR_INVALID, arena_printf(&op->call->arena, "%s must be the number of one", name));
        return false;
    }
    db_bind_i32(&op->query, (int32_t)id);
    return true;
}

static bool bind_action(struct api_op *op)
{
    struct str text;
    if (!http_query_param(op->call, STR("action"), &text)) {
        db_bind_null(&op->query);
        return true;
    }
    if (text.n == 0 || text.n > ACTION_MAX || !str_is_utf8(text) || str_find(text, 0) < text.n) {
        api_refuse(op->call, "action must be the name of one, such as project.delete");
        return false;
    }
    db_bind_text(&op->query, text);
    return true;
}

void audit_list(struct http_call *call)
{
    struct api_op *op = api_op_new(call, STMT_AUDIT_PAGE, listed);
    if (!api_span_read(call, API_DESC, &op->span))
        return;
    db_bind_i64(&op->query, op->span.bound);
    db_bind_i64(&op->query, op->span.limit + 1);
    if (bind_number(op, "user") && bind_number(op, "project") && bind_action(op))
        api_op_submit(op);
}
