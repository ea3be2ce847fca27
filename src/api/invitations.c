/* invitations.c: links by which people come in, for administrators. The secret is shown once and stored as its hash (migration 0036: user_links); taking one is in
 * passwords.c. */
#include "users.h"

#include "picket/auth/email.h"
#include "picket/base/clock.h"

enum { DAYS_DEFAULT = 7, DAYS_MAX = 30, INVITATIONS_MAX = 1000, PROJECTS_MAX = 1000 };

enum column { I_ID, I_EMAIL, I_ROLE, I_PROJECTS, I_BY, I_BY_EMAIL, I_CREATED, I_EXPIRES };

static void put_fields(struct json_writer *w, const struct db_rows *rows, int row, int col)
{
    json_field_i64(w, STR("id"), db_i64(rows, row, col + I_ID));
    api_put_text(w, STR("email"), rows, row, col + I_EMAIL);
    json_field_str(w, STR("role"), db_text(rows, row, col + I_ROLE));
    json_key(w, STR("project_ids"));
    json_put_raw(w, db_is_null(rows, row, col + I_PROJECTS) ? STR("null") : db_text(rows, row, col + I_PROJECTS));
    if (db_is_null(rows, row, col + I_BY))
        json_field_null(w, STR("created_by"));
    else
        json_field_i64(w, STR("created_by"), db_i64(rows, row, col + I_BY));
    api_put_text(w, STR("created_by_email"), rows, row, col + I_BY_EMAIL);
    json_field_time(w, STR("created_at"), db_time(rows, row, col + I_CREATED));
    json_field_time(w, STR("expires_at"), db_time(rows, row, col + I_EXPIRES));
}

static void put_invitation(struct json_writer *w, const struct db_rows *rows, int row, int col)
{
    json_begin_object(w);
    put_fields(w, rows, row, col);
    json_end_object(w);
}

/* ---- list */

static void listed(struct db_query *q, int r, const struct db_rows *rows)
{
    api_answer_span(api_op_of(q), r, rows, put_invitation);
}

void invitation_list(struct http_call *call)
{
    struct api_op *op = api_op_new(call, STMT_INVITATION_PAGE, listed);
    if (!api_span_read(call, API_DESC, &op->span))
        return;
    db_bind_i64(&op->query, op->span.bound);
    db_bind_i64(&op->query, op->span.limit + 1);
    api_op_submit(op);
}

/* ---- create */

static void refuse(struct http_call *call, struct str why)
{
    if (str_eq(why, STR("taken")))
        http_answer_error(call, -ERR_DB_CONFLICT, STR("There is a user with that email already"));
    else if (str_eq(why, STR("many")))
        http_answer_error(call, -ERR_DB_CONFLICT, STR("there are 1000 open invitations already: remove some"));
    else
        user_refuse(call, why);
}

/* Columns: why not, a project that is not there, the invitation. */
static void created(struct db_query *q, int r, const struct db_rows *rows)
{
    struct link_op *op = container_of(q, struct link_op, query);
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    if (api_failed(op->call, r))
        return;
    if (!db_is_null(rows, 0, 0)) {
        refuse(op->call, db_text(rows, 0, 0));
        return;
    }
    if (!db_is_null(rows, 0, 1)) {
        long long id = (long long)db_i64(rows, 0, 1);
        http_answer_error(op->call, -ERR_NOT_FOUND, arena_printf(&op->call->arena, "Project with id %lld not found", id));
        return;
    }
    json_writer_init(&w, &out);
    json_begin_object(&w);
    put_fields(&w, rows, 0, 2);
    link_put(&w, op, "accept-invitation");
    json_end_object(&w);
    http_answer_json(op->call, 201, &out);
}

/* False: answered. */
static bool read_expiry(struct http_call *call, int64_t *ret)
{
    struct str text;
    int64_t now = clock_wall_us();
    *ret = now + DAYS_DEFAULT * CLOCK_US_PER_DAY;
    if (!api_body_str(call, "expires_at", &text))
        return false;
    if (!text.p || (clock_parse(text, ret) && *ret > now && *ret <= now + DAYS_MAX * CLOCK_US_PER_DAY))
        return true;
    api_refuse(call, "expires_at must be an RFC 3339 time within the next 30 days");
    return false;
}

/* A list of numbers of projects, as text; p == NULL: all of them. False: answered. */
static bool read_projects(struct http_call *call, struct str *ret)
{
    const struct json *v;
    int64_t id;
    if (!api_body_value(call, "project_ids", JSON_ARRAY, &v, ret))
        return false;
    bool ok = json_count(v) <= PROJECTS_MAX;
    for (struct json_iter it = json_iter(v); ok && json_next(&it);)
        ok = json_i64(it.value, &id) && id >= 1 && id <= INT32_MAX;
    if (!ok)
        api_refuse(call, "project_ids must be a list of at most 1000 numbers of projects");
    return ok;
}

void invitation_create(struct http_call *call)
{
    struct str email, role, projects;
    int64_t expires_us;
    if (api_refuse_limited(call) || !api_body_str(call, "email", &email) || !user_role_read(call, &role) ||
        !read_projects(call, &projects) || !read_expiry(call, &expires_us))
        return;
    if (email.p && !email_is_valid(email)) {
        api_refuse(call, "Invalid email format");
        return;
    }
    struct link_op *op = link_op_new(call, STMT_INVITATION_ADD, created);
    api_bind_actor(&op->query, call);
    db_bind_bytes(&op->query, str_of((const char *)op->hash, sizeof op->hash));
    api_bind_text_or_null(&op->query, email);
    db_bind_text(&op->query, role.p ? role : STR("member"));
    api_bind_text_or_null(&op->query, projects);
    db_bind_time(&op->query, expires_us);
    db_bind_i64(&op->query, INVITATIONS_MAX);
    db_submit(call->worker->db, &op->query);
}

/* ---- delete */

static void no_invitation(struct http_call *call)
{
    http_answer_error(call, -ERR_NOT_FOUND,
                      arena_printf(&call->arena, "Invitation with id %.*s not found", STR_ARG(str_take(call->params[0], 40))));
}

static void dropped(struct db_query *q, int r, const struct db_rows *rows)
{
    api_answer_gone(api_op_of(q)->call, r, rows, no_invitation);
}

void invitation_drop(struct http_call *call)
{
    int64_t id;
    if (!str_to_i64(call->params[0], &id) || id < 1 || id > INT32_MAX) {
        no_invitation(call);
        return;
    }
    struct api_op *op = api_op_new(call, STMT_INVITATION_DROP, dropped);
    db_bind_i32(&op->query, (int32_t)id);
    api_bind_actor(&op->query, call);
    api_op_submit(op);
}
