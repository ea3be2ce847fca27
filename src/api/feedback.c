/* feedback.c: what people wrote (protocol §7.3, §7.4), with the issue of the event that it is about, once that event is there. */
#include "internal.h"

#include "picket/base/error.h"

enum column {
    F_ID,
    F_FEEDBACK,
    F_EVENT,
    F_ISSUE,
    F_ROW,
    F_RECEIVED,
    F_NAME,
    F_EMAIL,
    F_MESSAGE,
    F_URL,
    F_SOURCE,
    F_RELEASE,
    F_ENVIRONMENT,
    F_DATA /* of the one that is shown, not of a page */
};

static void put_text_or_null(struct json_writer *w, struct str key, struct str text)
{
    if (text.n)
        json_field_str(w, key, text);
    else
        json_field_null(w, key);
}

/* The caller opens and closes the object. */
static void put_fields(struct json_writer *w, const struct db_rows *rows, int row, int col)
{
    struct id128 id = db_id(rows, row, col + F_ID);
    api_put_id(w, STR("id"), &id);
    api_put_id_or_null(w, STR("feedback_id"), rows, row, col + F_FEEDBACK);
    api_put_id_or_null(w, STR("event_id"), rows, row, col + F_EVENT);
    api_put_id_or_null(w, STR("issue_id"), rows, row, col + F_ISSUE);
    api_put_id_or_null(w, STR("event_row_id"), rows, row, col + F_ROW);
    json_field_time(w, STR("received_at"), db_time(rows, row, col + F_RECEIVED));
    json_field_str(w, STR("message"), db_text(rows, row, col + F_MESSAGE));
    put_text_or_null(w, STR("name"), db_text(rows, row, col + F_NAME));
    put_text_or_null(w, STR("email"), db_text(rows, row, col + F_EMAIL));
    put_text_or_null(w, STR("url"), db_text(rows, row, col + F_URL));
    put_text_or_null(w, STR("source"), db_text(rows, row, col + F_SOURCE));
    put_text_or_null(w, STR("release"), db_text(rows, row, col + F_RELEASE));
    put_text_or_null(w, STR("environment"), db_text(rows, row, col + F_ENVIRONMENT));
}

static void put_feedback(struct json_writer *w, const struct db_rows *rows, int row, int col)
{
    json_begin_object(w);
    put_fields(w, rows, row, col);
    json_end_object(w);
}

/* ---- list */

static void listed(struct db_query *q, int r, const struct db_rows *rows)
{
    api_answer_page(api_op_of(q), r, rows, api_no_project, put_feedback);
}

void feedback_list(struct http_call *call)
{
    struct api_op *op = api_op_new(call, STMT_FEEDBACK_PAGE, listed);
    int32_t project;
    struct str text;
    struct id128 event;
    if (!api_project_id(call, &project) || !api_page_read(call, &op->page))
        return;
    db_bind_i32(&op->query, project);
    db_bind_i64(&op->query, op->page.per_page);
    db_bind_i64(&op->query, (op->page.page - 1) * op->page.per_page);
    if (!http_query_param(call, STR("event_id"), &text))
        db_bind_null(&op->query);
    else if (id_parse(text, &event))
        db_bind_id(&op->query, &event);
    else {
        api_refuse(call, "event_id must be an event's id");
        return;
    }
    api_op_submit(op);
}

/* ---- show */

static void no_feedback(struct http_call *call)
{
    http_answer_error(call, -ERR_NOT_FOUND, STR("there is no such feedback in this project"));
}

static void shown(struct db_query *q, int r, const struct db_rows *rows)
{
    struct http_call *call = api_op_of(q)->call;
    if (!api_has_row(call, r, rows, no_feedback))
        return;
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    json_writer_init(&w, &out);
    json_begin_object(&w);
    put_fields(&w, rows, 0, 0);
    json_key(&w, STR("data"));
    json_put_raw(&w, db_is_null(rows, 0, F_DATA) ? STR("null") : db_text(rows, 0, F_DATA));
    json_end_object(&w);
    http_answer_json(call, 200, &out);
}

void feedback_show(struct http_call *call)
{
    int32_t project;
    struct id128 id;
    if (!api_project_id(call, &project))
        return;
    if (!id_parse(call->params[1], &id)) {
        no_feedback(call);
        return;
    }
    struct api_op *op = api_op_new(call, STMT_FEEDBACK_SHOW, shown);
    db_bind_i32(&op->query, project);
    db_bind_id(&op->query, &id);
    api_op_submit(op);
}
