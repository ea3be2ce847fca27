/* keys.c: a project's keys: the list, and their quotas. */
#include "internal.h"

#include "picket/protocol/dsn.h"

/* Columns from `col`: id, public_key, is_active, created_at, quotas. */
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
    if (api_failed(call, r))
        return;
    if (db_count(rows) == 0) {
        api_no_project(call);
        return;
    }
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

static void no_key(struct http_call *call)
{
    http_answer_error(call, -ERR_NOT_FOUND, arena_printf(&call->arena, "Key %.*s not found", STR_ARG(str_take(call->params[1], 40))));
}

static void changed(struct db_query *q, int r, const struct db_rows *rows)
{
    struct http_call *call = api_op_of(q)->call;
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    if (api_failed(call, r))
        return;
    if (db_count(rows) == 0) {
        no_key(call);
        return;
    }
    json_writer_init(&w, &out);
    put_key(&w, call, project_of(call), rows, 0, 0);
    http_answer_json(call, 200, &out);
}

void key_change(struct http_call *call)
{
    int32_t project;
    int64_t key;
    struct str quotas;
    if (!api_project_id(call, &project))
        return;
    if (!str_to_i64(call->params[1], &key)) {
        no_key(call);
        return;
    }
    struct api_op *op = api_op_new(call, STMT_KEY_CHANGE, changed);
    if (!api_body_quotas(call, &quotas))
        return;
    db_bind_i32(&op->query, project);
    db_bind_i64(&op->query, key);
    api_bind_text_or_null(&op->query, quotas);
    api_bind_actor(&op->query, call);
    api_op_submit(op);
}
