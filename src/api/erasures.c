/* erasures.c: requests that a person's data go, for administrators. A request is only written down here: a retention run works it off
 * (sql/migrations' erasures), and its row tells how far it is. */
#include "internal.h"

#include "picket/base/error.h"
#include "picket/event/person.h"

enum { ID_SHOWN = 40 };

enum column { E_ID, E_FIELD, E_KEY, E_REQUESTED, E_DONE, E_FORGOTTEN, E_EVENTS, E_LETTERS, E_FILES, E_FEEDBACK, E_SESSION_USERS, E_BYTES };

/* As person_read takes it; null when it is forgotten. */
static void put_user(struct json_writer *w, const struct db_rows *rows, int row, int col)
{
    AUTO_BUF struct buf user = {0};
    if (!db_is_null(rows, row, col + E_FORGOTTEN)) {
        json_field_null(w, STR("user"));
        return;
    }
    struct str field = db_text(rows, row, col + E_FIELD), key = db_text(rows, row, col + E_KEY);
    if (!str_eq(field, person_field_name(PERSON_ANY)))
        buf_printf(&user, "%.*s:", STR_ARG(field));
    buf_append_str(&user, key);
    json_field_str(w, STR("user"), buf_str(&user));
}

static void put_erasure(struct json_writer *w, const struct db_rows *rows, int row, int col)
{
    static const char *const counts[] = {"events", "dead_letters", "files", "feedback", "session_users", "bytes"};
    json_begin_object(w);
    json_field_i64(w, STR("id"), db_i64(rows, row, col + E_ID));
    put_user(w, rows, row, col);
    json_field_time(w, STR("requested_at"), db_time(rows, row, col + E_REQUESTED));
    api_put_time(w, STR("done_at"), rows, row, col + E_DONE);
    for (int i = 0; i < (int)ARRAY_LEN(counts); i++)
        json_field_i64(w, str_from(counts[i]), db_i64(rows, row, col + E_EVENTS + i));
    json_end_object(w);
}

/* ---- list */

static void listed(struct db_query *q, int r, const struct db_rows *rows)
{
    api_answer_page(api_op_of(q), r, rows, api_no_project, put_erasure);
}

void erasure_list(struct http_call *call)
{
    struct api_op *op = api_op_new(call, STMT_ERASURE_LIST, listed);
    int32_t project;
    if (!api_project_id(call, &project) || !api_page_read(call, &op->page))
        return;
    db_bind_i32(&op->query, project);
    db_bind_i64(&op->query, op->page.per_page);
    db_bind_i64(&op->query, (op->page.page - 1) * op->page.per_page);
    api_op_submit(op);
}

/* ---- create, show */

static void created(struct db_query *q, int r, const struct db_rows *rows)
{
    struct http_call *call = api_op_of(q)->call;
    if (api_has_row(call, r, rows, api_no_project))
        api_answer_object(call, 201, rows, 0, put_erasure);
}

void erasure_create(struct http_call *call)
{
    int32_t project;
    struct str user;
    struct person person;
    if (!api_project_id(call, &project) || !api_body_str(call, "user", &user))
        return;
    if (!person_read(user, &person)) {
        api_refuse(call, "user must be a person's id, email, username or IP address, also as id:…, email:…, username:…, ip:…");
        return;
    }
    struct api_op *op = api_op_new(call, STMT_ERASURE_ADD, created);
    db_bind_i32(&op->query, project);
    db_bind_text(&op->query, person_field_name(person.field));
    db_bind_text(&op->query, person.key);
    db_bind_i32(&op->query, (int32_t)call->user.id);
    api_bind_actor(&op->query, call);
    api_op_submit(op);
}

static void no_erasure(struct http_call *call)
{
    struct str id = str_take(call->params[1], ID_SHOWN);
    http_answer_error(call, -ERR_NOT_FOUND, arena_printf(&call->arena, "Erasure %.*s not found", STR_ARG(id)));
}

static void shown(struct db_query *q, int r, const struct db_rows *rows)
{
    struct http_call *call = api_op_of(q)->call;
    if (api_has_row(call, r, rows, no_erasure))
        api_answer_object(call, 200, rows, 0, put_erasure);
}

void erasure_show(struct http_call *call)
{
    int32_t project;
    int64_t id;
    if (!api_project_id(call, &project))
        return;
    if (!str_to_i64(call->params[1], &id)) {
        no_erasure(call);
        return;
    }
    struct api_op *op = api_op_new(call, STMT_ERASURE_SHOW, shown);
    db_bind_i32(&op->query, project);
    db_bind_i64(&op->query, id);
    api_op_submit(op);
}
