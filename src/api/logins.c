/* logins.c: sessions of people who are logged in (those of releases are in sessions.c). A session is named by a number; its secret is the client's alone. */
#include "internal.h"

enum column { S_ID, S_USER, S_CREATED, S_SEEN, S_EXPIRES, S_ADDRESS, S_AGENT, S_CURRENT };

static void put_login(struct json_writer *w, const struct db_rows *rows, int row, int col)
{
    json_begin_object(w);
    json_field_i64(w, STR("id"), db_i64(rows, row, col + S_ID));
    json_field_i64(w, STR("user_id"), db_i64(rows, row, col + S_USER));
    json_field_time(w, STR("created_at"), db_time(rows, row, col + S_CREATED));
    json_field_time(w, STR("last_seen_at"), db_time(rows, row, col + S_SEEN));
    json_field_time(w, STR("expires_at"), db_time(rows, row, col + S_EXPIRES));
    api_put_text(w, STR("address"), rows, row, col + S_ADDRESS);
    api_put_text(w, STR("user_agent"), rows, row, col + S_AGENT);
    json_field_bool(w, STR("is_current"), db_bool(rows, row, col + S_CURRENT));
    json_end_object(w);
}

static void bind_own(struct db_query *q, const struct http_call *call)
{
    db_bind_bytes(q, str_of((const char *)call->user.session_hash, SECRET_HASH_BYTES));
}

static void listed(struct db_query *q, int r, const struct db_rows *rows)
{
    api_answer_span(api_op_of(q), r, rows, put_login);
}

/* Whose: one's own, or for administrators ?user=. False: answered. */
static bool read_user(struct http_call *call, int64_t *ret)
{
    struct str text;
    *ret = call->user.id;
    if (!http_query_param(call, STR("user"), &text))
        return true;
    if (!str_to_i64(text, ret) || *ret < 1 || *ret > INT32_MAX) {
        api_refuse(call, "user must be an integer");
        return false;
    }
    if (*ret == call->user.id || http_may(call, SCOPE_ADMIN))
        return true;
    http_answer_error(call, -ERR_FORBIDDEN, STR(""));
    return false;
}

void login_list(struct http_call *call)
{
    struct api_op *op = api_op_new(call, STMT_LOGIN_PAGE, listed);
    int64_t user;
    if (!read_user(call, &user) || !api_span_read(call, API_DESC, &op->span))
        return;
    db_bind_i32(&op->query, (int32_t)user);
    db_bind_i64(&op->query, op->span.bound);
    db_bind_i64(&op->query, op->span.limit + 1);
    db_bind_i64(&op->query, http_config(call)->session_idle_us);
    bind_own(&op->query, call);
    api_op_submit(op);
}

static void no_login(struct http_call *call)
{
    http_answer_error(call, -ERR_NOT_FOUND,
                      arena_printf(&call->arena, "Session with id %.*s not found", STR_ARG(str_take(call->params[0], 40))));
}

static void dropped(struct db_query *q, int r, const struct db_rows *rows)
{
    api_answer_gone(api_op_of(q)->call, r, rows, no_login);
}

void login_drop(struct http_call *call)
{
    int64_t id;
    if (!str_to_i64(call->params[0], &id)) {
        no_login(call);
        return;
    }
    struct api_op *op = api_op_new(call, STMT_LOGIN_DROP, dropped);
    db_bind_i64(&op->query, id);
    db_bind_i32(&op->query, (int32_t)call->user.id);
    db_bind_bool(&op->query, http_may(call, SCOPE_ADMIN));
    api_bind_actor(&op->query, call);
    api_op_submit(op);
}

void login_drop_others(struct http_call *call)
{
    struct api_op *op = api_op_new(call, STMT_LOGIN_DROP_OTHERS, dropped);
    db_bind_i32(&op->query, (int32_t)call->user.id);
    bind_own(&op->query, call);
    api_bind_actor(&op->query, call);
    api_op_submit(op);
}
