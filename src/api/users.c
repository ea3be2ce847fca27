/* users.c: who there is and what they may do, for administrators, and links by which others set a password. What must hold whoever asks at once (only owners
 * decide about owners, one of whom stays) is decided by user_change() of migration 0036. */
#include "users.h"

#include "picket/base/clock.h"

enum { RESET_HOURS = 24 };

enum column { U_ID, U_EMAIL, U_ROLE, U_ACTIVE, U_ALL, U_PROJECTS, U_CREATED, U_LOGIN };

static void put_user(struct json_writer *w, const struct db_rows *rows, int row, int col)
{
    struct str role = db_text(rows, row, col + U_ROLE);
    json_begin_object(w);
    json_field_i64(w, STR("id"), db_i64(rows, row, col + U_ID));
    json_field_str(w, STR("email"), db_text(rows, row, col + U_EMAIL));
    json_field_str(w, STR("role"), role);
    json_field_bool(w, STR("is_admin"), str_eq(role, STR("owner")) || str_eq(role, STR("admin")));
    json_field_bool(w, STR("is_active"), db_bool(rows, row, col + U_ACTIVE));
    json_field_bool(w, STR("all_projects"), db_bool(rows, row, col + U_ALL));
    json_key(w, STR("project_ids"));
    json_put_raw(w, db_text(rows, row, col + U_PROJECTS));
    json_field_time(w, STR("created_at"), db_time(rows, row, col + U_CREATED));
    api_put_time(w, STR("last_login_at"), rows, row, col + U_LOGIN);
    json_end_object(w);
}

static void no_user(struct http_call *call)
{
    http_answer_error(call, -ERR_NOT_FOUND,
                      arena_printf(&call->arena, "User with id %.*s not found", STR_ARG(str_take(call->params[0], 40))));
}

/* False: answered. */
static bool read_id(struct http_call *call, int32_t *ret)
{
    int64_t id;
    if (!str_to_i64(call->params[0], &id) || id < 1 || id > INT32_MAX) {
        no_user(call);
        return false;
    }
    *ret = (int32_t)id;
    return true;
}

void user_refuse(struct http_call *call, struct str why)
{
    if (str_eq(why, STR("none")))
        no_user(call);
    else if (str_eq(why, STR("owner")))
        http_answer_error(call, -ERR_FORBIDDEN, STR("Only an owner makes, changes or removes owners"));
    else if (str_eq(why, STR("last")))
        http_answer_error(call, -ERR_DB_CONFLICT, STR("This is the last active owner: make somebody else one first"));
    else if (str_eq(why, STR("inactive")))
        http_answer_error(call, -ERR_DB_CONFLICT, STR("This user is not active"));
    else if (str_eq(why, STR("self")))
        api_refuse(call, "Your own password is changed at /auth/change-password");
    else
        http_answer_error(call, -ERR_FORBIDDEN, STR("")); /* is no administrator any more */
}

/* ---- look */

static void listed(struct db_query *q, int r, const struct db_rows *rows)
{
    api_answer_span(api_op_of(q), r, rows, put_user);
}

void user_list(struct http_call *call)
{
    struct api_op *op = api_op_new(call, STMT_USER_PAGE, listed);
    if (!api_span_read(call, API_ASC, &op->span))
        return;
    db_bind_i64(&op->query, op->span.bound);
    db_bind_i64(&op->query, op->span.limit + 1);
    db_bind_null(&op->query);
    api_op_submit(op);
}

static void shown(struct db_query *q, int r, const struct db_rows *rows)
{
    struct http_call *call = api_op_of(q)->call;
    if (api_has_row(call, r, rows, no_user))
        api_answer_object(call, 200, rows, 0, put_user);
}

void user_show(struct http_call *call)
{
    int32_t id;
    if (!read_id(call, &id))
        return;
    struct api_op *op = api_op_new(call, STMT_USER_PAGE, shown);
    db_bind_null(&op->query);
    db_bind_i64(&op->query, 1);
    db_bind_i32(&op->query, id);
    api_op_submit(op);
}

/* ---- change */

static void changed(struct db_query *q, int r, const struct db_rows *rows)
{
    struct http_call *call = api_op_of(q)->call;
    if (api_failed(call, r))
        return;
    if (!db_is_null(rows, 0, 0))
        user_refuse(call, db_text(rows, 0, 0));
    else if (db_is_null(rows, 0, 1))
        http_answer_empty(call, 204);
    else
        api_answer_object(call, 200, rows, 1, put_user);
}

static void bind_flag(struct db_query *q, bool is_there, bool flag)
{
    if (is_there)
        db_bind_bool(q, flag);
    else
        db_bind_null(q);
}

bool user_role_read(struct http_call *call, struct str *ret)
{
    static const char *const roles[] = {"owner", "admin", "member", "viewer"};
    if (!api_body_str(call, "role", ret))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(roles); i++)
        if (!ret->p || str_eq(*ret, str_from(roles[i])))
            return true;
    api_refuse(call, "role must be one of owner, admin, member, viewer");
    return false;
}

void user_change(struct http_call *call)
{
    int32_t id;
    struct str role;
    bool active = false, has_active, all = false, has_all;
    if (api_refuse_limited(call) || !read_id(call, &id) || !user_role_read(call, &role) ||
        !api_body_flag(call, "is_active", &active, &has_active) || !api_body_flag(call, "all_projects", &all, &has_all))
        return;
    if (!role.p && !has_active && !has_all) {
        user_show(call);
        return;
    }
    struct api_op *op = api_op_new(call, STMT_USER_CHANGE, changed);
    api_bind_actor(&op->query, call);
    db_bind_i32(&op->query, id);
    api_bind_text_or_null(&op->query, role);
    bind_flag(&op->query, has_active, active);
    bind_flag(&op->query, has_all, all);
    db_bind_bool(&op->query, false);
    api_op_submit(op);
}

void user_delete(struct http_call *call)
{
    int32_t id;
    if (api_refuse_limited(call) || !read_id(call, &id))
        return;
    struct api_op *op = api_op_new(call, STMT_USER_CHANGE, changed);
    api_bind_actor(&op->query, call);
    db_bind_i32(&op->query, id);
    for (unsigned i = 0; i < 3; i++)
        db_bind_null(&op->query);
    db_bind_bool(&op->query, true);
    api_op_submit(op);
}

/* ---- links */

static void link_dispose(void *memory)
{
    struct link_op *op = memory;
    db_cancel(&op->query);
    explicit_bzero(op->token, sizeof op->token);
}

struct link_op *link_op_new(struct http_call *call, enum db_stmt stmt, db_done_fn *done)
{
    struct link_op *op = http_on_dispose(call, sizeof *op, link_dispose);
    op->call = call;
    session_new(op->token);
    secret_hash(str_of(op->token, SESSION_CHARS), op->hash);
    db_query_init(&op->query, stmt, done);
    return op;
}

/* The token is behind '#', which no server and no log sees. */
void link_put(struct json_writer *w, struct link_op *op, const char *page)
{
    json_field_str(w, STR("token"), str_of(op->token, SESSION_CHARS));
    json_field_str(w, STR("url"), arena_printf(&op->call->arena, "%s/%s#token=%s", api_of(op->call)->config.links_url, page, op->token));
}

/* Columns: why not, user, e-mail, end. */
static void reset_made(struct db_query *q, int r, const struct db_rows *rows)
{
    struct link_op *op = container_of(q, struct link_op, query);
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    if (api_failed(op->call, r))
        return;
    if (!db_is_null(rows, 0, 0)) {
        user_refuse(op->call, db_text(rows, 0, 0));
        return;
    }
    if (db_is_null(rows, 0, 1)) {
        no_user(op->call);
        return;
    }
    json_writer_init(&w, &out);
    json_begin_object(&w);
    json_field_i64(&w, STR("user_id"), db_i64(rows, 0, 1));
    json_field_str(&w, STR("email"), db_text(rows, 0, 2));
    link_put(&w, op, "reset-password");
    json_field_time(&w, STR("expires_at"), db_time(rows, 0, 3));
    json_end_object(&w);
    http_answer_json(op->call, 201, &out);
}

void user_reset(struct http_call *call)
{
    int32_t id;
    if (api_refuse_limited(call) || !read_id(call, &id))
        return;
    struct link_op *op = link_op_new(call, STMT_PASSWORD_RESET_ADD, reset_made);
    api_bind_actor(&op->query, call);
    db_bind_i32(&op->query, id);
    db_bind_null(&op->query);
    db_bind_bytes(&op->query, str_of((const char *)op->hash, sizeof op->hash));
    db_bind_i64(&op->query, RESET_HOURS * CLOCK_US_PER_HOUR / CLOCK_US_PER_S);
    db_submit(call->worker->db, &op->query);
}
