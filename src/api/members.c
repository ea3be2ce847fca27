/* members.c: who sees a project, of those users who do not see all of them anyway. Who may not list users adds whom they can name by e-mail address: numbers
 * can be counted through. */
#include "internal.h"

#include "picket/auth/email.h"

enum column { M_USER, M_EMAIL, M_ROLE, M_ACTIVE, M_ADDED, M_IS_NEW /* of one that was added */ };

static void put_member(struct json_writer *w, const struct db_rows *rows, int row, int col)
{
    json_begin_object(w);
    json_field_i64(w, STR("user_id"), db_i64(rows, row, col + M_USER));
    json_field_str(w, STR("email"), db_text(rows, row, col + M_EMAIL));
    json_field_str(w, STR("role"), db_text(rows, row, col + M_ROLE));
    json_field_bool(w, STR("is_active"), db_bool(rows, row, col + M_ACTIVE));
    json_field_time(w, STR("added_at"), db_time(rows, row, col + M_ADDED));
    json_end_object(w);
}

static void listed(struct db_query *q, int r, const struct db_rows *rows)
{
    api_answer_page(api_op_of(q), r, rows, api_no_project, put_member);
}

void member_list(struct http_call *call)
{
    struct api_op *op = api_op_new(call, STMT_MEMBER_PAGE, listed);
    int32_t project;
    if (!api_project_id(call, &project) || !api_page_read(call, &op->page))
        return;
    db_bind_i32(&op->query, project);
    db_bind_i64(&op->query, op->page.per_page);
    db_bind_i64(&op->query, (op->page.page - 1) * op->page.per_page);
    api_op_submit(op);
}

static void added(struct db_query *q, int r, const struct db_rows *rows)
{
    struct http_call *call = api_op_of(q)->call;
    if (api_failed(call, r))
        return;
    if (db_count(rows) == 0) {
        api_refuse(call, "there is no such user");
        return;
    }
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    json_writer_init(&w, &out);
    put_member(&w, rows, 0, 0);
    http_answer_json(call, db_bool(rows, 0, M_IS_NEW) ? 201 : 200, &out);
}

void member_add(struct http_call *call)
{
    int32_t project;
    int64_t user;
    struct str email;
    if (!api_project_id(call, &project) || !api_body_number(call, "user_id", INT32_MAX, &user) || !api_body_str(call, "email", &email))
        return;
    if ((user < 0) == (email.p == NULL)) {
        api_refuse(call, "either user_id or email is expected");
        return;
    }
    if (user >= 0 && !http_may(call, SCOPE_ADMIN)) {
        http_answer_error(call, -ERR_FORBIDDEN, STR("user_id needs the scope admin, which lists users: name them by email"));
        return;
    }
    struct api_op *op = api_op_new(call, STMT_MEMBER_ADD, added);
    db_bind_i32(&op->query, project);
    if (user < 0)
        db_bind_null(&op->query);
    else
        db_bind_i32(&op->query, (int32_t)user);
    api_bind_text_or_null(&op->query, str_take_code_points(email, EMAIL_MAX + 1)); /* longer ones are nobody's */
    api_bind_actor(&op->query, call);
    api_op_submit(op);
}

static void no_member(struct http_call *call)
{
    http_answer_error(call, -ERR_NOT_FOUND,
                      arena_printf(&call->arena, "User %.*s is not a member", STR_ARG(str_take(call->params[1], ID_DASHED))));
}

static void dropped(struct db_query *q, int r, const struct db_rows *rows)
{
    api_answer_gone(api_op_of(q)->call, r, rows, no_member);
}

void member_drop(struct http_call *call)
{
    int32_t project;
    int64_t user;
    if (!api_project_id(call, &project))
        return;
    if (!str_to_i64(call->params[1], &user) || user < 1 || user > INT32_MAX) {
        no_member(call);
        return;
    }
    struct api_op *op = api_op_new(call, STMT_MEMBER_DROP, dropped);
    db_bind_i32(&op->query, project);
    db_bind_i32(&op->query, (int32_t)user);
    api_bind_actor(&op->query, call);
    api_op_submit(op);
}
