/* keys.c: a project's keys, which its SDKs show at the door. One that is disabled, deleted or has got another public key is refused there as soon as the
 * door has heard of it (auth/keys.c). The DSN of a project is that of its oldest active key, so that another one changes nothing for who uses it. */
#include "internal.h"

#include "picket/base/error.h"

#include "picket/protocol/dsn.h"

enum { KEYS_MAX = 100, LABEL_MAX_CHARS = 255 };

/* Columns from `col`: id, public_key, is_active, created_at, quotas, label. */
static void put_key(struct json_writer *w, const struct http_call *call, int32_t project, const struct db_rows *rows, int row, int col)
{
    AUTO_BUF struct buf dsn = {0};
    struct id128 key = db_id(rows, row, col + 1), shown = id_conforming(&key);
    if (dsn_format(&dsn, str_from(api_of(call)->config.public_url), &key, (uint64_t)project) < 0)
        buf_clear(&dsn);
    json_begin_object(w);
    json_field_i64(w, STR("id"), db_i64(rows, row, col));
    api_put_id(w, STR("public_key"), &shown);
    json_field_str(w, STR("dsn"), buf_str(&dsn));
    json_field_str(w, STR("label"), db_text(rows, row, col + 5));
    json_field_bool(w, STR("is_active"), db_bool(rows, row, col + 2));
    api_put_time(w, STR("created_at"), rows, row, col + 3);
    json_key(w, STR("quotas"));
    json_put_raw(w, db_text(rows, row, col + 4));
    json_end_object(w);
}

/* The path's project; it was read before. */
static int32_t project_of(const struct http_call *call)
{
    int64_t id = 0;
    bool ok = str_to_i64(call->params[0], &id);
    assert(ok);
    return (int32_t)id;
}

/* No row: no such project; a row of nulls: it has no key. */
static void listed(struct db_query *q, int r, const struct db_rows *rows)
{
    struct http_call *call = api_op_of(q)->call;
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    if (!api_has_row(call, r, rows, api_no_project))
        return;
    json_writer_init(&w, &out);
    json_begin_object(&w);
    json_key(&w, STR("items"));
    json_begin_array(&w);
    for (int i = 0; i < db_count(rows) && !db_is_null(rows, i, 0); i++)
        put_key(&w, call, project_of(call), rows, i, 0);
    json_end_array(&w);
    json_end_object(&w);
    http_answer_json(call, 200, &out);
}

void key_list(struct http_call *call)
{
    int32_t project;
    if (!api_project_id(call, &project))
        return;
    struct api_op *op = api_op_new(call, STMT_KEY_PAGE, listed);
    db_bind_i32(&op->query, project);
    api_op_submit(op);
}

/* ---- one key */

static void no_key(struct http_call *call)
{
    http_answer_error(call, -ERR_NOT_FOUND, arena_printf(&call->arena, "Key %.*s not found", STR_ARG(str_take(call->params[1], 40))));
}

/* Project and key of the path. False: answered. */
static bool read_key(struct http_call *call, int32_t *ret_project, int64_t *ret)
{
    if (!api_project_id(call, ret_project))
        return false;
    if (str_to_i64(call->params[1], ret))
        return true;
    no_key(call);
    return false;
}

/* "label", trimmed; p == NULL: absent or null. False: answered. */
static bool read_label(struct http_call *call, struct str *ret)
{
    if (!api_body_str(call, "label", ret))
        return false;
    if (ret->p)
        *ret = str_trim(*ret);
    if (str_take_code_points(*ret, LABEL_MAX_CHARS).n == ret->n)
        return true;
    api_refuse(call, "label cannot exceed 255 characters");
    return false;
}

static void answer_key(struct http_call *call, int status, const struct db_rows *rows)
{
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    json_writer_init(&w, &out);
    put_key(&w, call, project_of(call), rows, 0, 0);
    http_answer_json(call, status, &out);
}

/* No row: no such project; a row of nulls: it has enough. */
static void created(struct db_query *q, int r, const struct db_rows *rows)
{
    struct http_call *call = api_op_of(q)->call;
    if (!api_has_row(call, r, rows, api_no_project))
        return;
    if (db_is_null(rows, 0, 0))
        http_answer_error(call, -ERR_DB_CONFLICT, STR("the project has a hundred keys: delete those that nobody uses"));
    else
        answer_key(call, 201, rows);
}

void key_create(struct http_call *call)
{
    struct api_op *op = api_op_new(call, STMT_KEY_ADD, created);
    struct str label, quotas;
    int32_t project;
    if (!api_project_id(call, &project) || !read_label(call, &label) || !api_body_quotas(call, &quotas))
        return;
    struct id128 key = id_random();
    db_bind_i32(&op->query, project);
    db_bind_id(&op->query, &key);
    db_bind_text(&op->query, label.p ? label : STR(""));
    api_bind_text_or_null(&op->query, quotas);
    api_bind_actor(&op->query, call);
    db_bind_i64(&op->query, KEYS_MAX);
    api_op_submit(op);
}

static void changed(struct db_query *q, int r, const struct db_rows *rows)
{
    struct http_call *call = api_op_of(q)->call;
    if (api_has_row(call, r, rows, no_key))
        answer_key(call, 200, rows);
}

void key_change(struct http_call *call)
{
    struct api_op *op = api_op_new(call, STMT_KEY_CHANGE, changed);
    struct str label, quotas;
    bool is_active, has_active;
    int32_t project;
    int64_t key;
    if (!read_key(call, &project, &key) || !read_label(call, &label) || !api_body_quotas(call, &quotas) ||
        !api_body_flag(call, "is_active", &is_active, &has_active))
        return;
    db_bind_i32(&op->query, project);
    db_bind_i64(&op->query, key);
    api_bind_text_or_null(&op->query, quotas);
    api_bind_actor(&op->query, call);
    api_bind_text_or_null(&op->query, label);
    if (has_active)
        db_bind_bool(&op->query, is_active);
    else
        db_bind_null(&op->query);
    api_op_submit(op);
}

/* It keeps its number, and with it its label, its quotas and what was counted for it. */
void key_rotate(struct http_call *call)
{
    struct api_op *op = api_op_new(call, STMT_KEY_RENEW, changed);
    struct id128 renewed = id_random();
    int32_t project;
    int64_t key;
    if (!read_key(call, &project, &key))
        return;
    db_bind_i32(&op->query, project);
    db_bind_i64(&op->query, key);
    db_bind_id(&op->query, &renewed);
    api_bind_actor(&op->query, call);
    api_op_submit(op);
}

static void dropped(struct db_query *q, int r, const struct db_rows *rows)
{
    api_answer_gone(api_op_of(q)->call, r, rows, no_key);
}

void key_drop(struct http_call *call)
{
    struct api_op *op = api_op_new(call, STMT_KEY_DROP, dropped);
    int32_t project;
    int64_t key;
    if (!read_key(call, &project, &key))
        return;
    db_bind_i32(&op->query, project);
    db_bind_i64(&op->query, key);
    api_bind_actor(&op->query, call);
    api_op_submit(op);
}
