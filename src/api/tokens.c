/* tokens.c: R18 – R20 (contract §1.14). A token is shown once and stored as its hash. Users see and revoke their own, administrators everybody's. */
#include "internal.h"

#include "picket/auth/secret.h"
#include "picket/base/clock.h"

enum { DESCRIPTION_MAX = 255 };

/* ---- R18 */

static void listed(struct db_query *q, int r, const struct db_rows *rows)
{
    struct http_call *call = api_op_of(q)->call;
    if (api_failed(call, r))
        return;
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    json_writer_init(&w, &out);
    json_begin_array(&w);
    for (int i = 0; i < db_count(rows); i++) {
        struct str prefix = db_text(rows, i, 1);
        json_begin_object(&w);
        json_field_i64(&w, STR("id"), db_i64(rows, i, 0));
        json_field_str(&w, STR("token_prefix"), arena_printf(&call->arena, "%.*s...", STR_ARG(prefix)));
        api_put_text(&w, STR("description"), rows, i, 2);
        json_field_time(&w, STR("created_at"), db_time(rows, i, 3));
        api_put_time(&w, STR("last_used_at"), rows, i, 4);
        api_put_time(&w, STR("expires_at"), rows, i, 5);
        json_field_str(&w, STR("user_email"), db_text(rows, i, 6));
        json_end_object(&w);
    }
    json_end_array(&w);
    http_answer_json(call, 200, &out);
}

void token_list(struct http_call *call)
{
    struct api_op *op = api_op_new(call, STMT_TOKEN_LIST, listed);
    db_bind_i32(&op->query, (int32_t)call->user.id);
    db_bind_bool(&op->query, http_may(call, SCOPE_ADMIN));
    api_op_submit(op);
}

/* ---- R19 */

struct token_create { /* in the request's pool */
    struct db_query query;
    struct http_call *call;
    struct str description; /* p == NULL: none */
    int64_t expires_us;     /* 0: never */
    char token[TOKEN_CHARS + 1];
    uint8_t hash[SECRET_HASH_BYTES];
};

static void create_dispose(void *memory)
{
    struct token_create *op = memory;
    db_cancel(&op->query);
    explicit_bzero(op->token, sizeof op->token);
}

/* Columns: id, created_at. */
static void created(struct db_query *q, int r, const struct db_rows *rows)
{
    struct token_create *op = container_of(q, struct token_create, query);
    if (api_failed(op->call, r))
        return;
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    json_writer_init(&w, &out);
    json_begin_object(&w);
    json_field_i64(&w, STR("id"), db_i64(rows, 0, 0));
    json_field_str(&w, STR("token"), str_of(op->token, TOKEN_CHARS));
    if (op->description.p)
        json_field_str(&w, STR("description"), op->description);
    else
        json_field_null(&w, STR("description"));
    json_field_time(&w, STR("created_at"), db_time(rows, 0, 1));
    if (op->expires_us)
        json_field_time(&w, STR("expires_at"), op->expires_us);
    else
        json_field_null(&w, STR("expires_at"));
    json_end_object(&w);
    http_answer_json(op->call, 201, &out);
}

/* Ignoring a limit that somebody asked for would give away more than was meant. False: answered. */
static bool no_limits(struct http_call *call)
{
    static const char *const limits[] = {"scopes", "project_ids"};
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        const struct json *v = json_get(json_root(call->body), str_from(limits[i]));
        if (json_type(v) == JSON_NONE || json_type(v) == JSON_NULL)
            continue;
        http_answer_error(call, -ERR_INVALID,
                          arena_printf(&call->arena, "%s: not supported yet, a token has all that its user may do", limits[i]));
        return false;
    }
    return true;
}

/* False: answered. */
static bool read_expiry(struct token_create *op)
{
    struct str text;
    if (!api_body_str(op->call, "expires_at", &text))
        return false;
    if (!text.p)
        return true;
    if (!clock_parse(text, &op->expires_us)) {
        api_refuse(op->call, "expires_at must be an RFC 3339 time");
        return false;
    }
    if (op->expires_us <= clock_wall_us()) {
        api_refuse(op->call, "expires_at must be in the future");
        return false;
    }
    return true;
}

/* False: answered. */
static bool read_description(struct token_create *op)
{
    if (!api_body_str(op->call, "description", &op->description))
        return false;
    if (str_take_code_points(op->description, DESCRIPTION_MAX).n == op->description.n)
        return true;
    api_refuse(op->call, "Description cannot exceed 255 characters");
    return false;
}

void token_create(struct http_call *call)
{
    struct token_create *op = http_on_dispose(call, sizeof *op, create_dispose);
    op->call = call;
    db_query_init(&op->query, STMT_TOKEN_CREATE, created);
    if (!no_limits(call) || !read_description(op) || !read_expiry(op))
        return;
    token_new(op->token);
    secret_hash(str_of(op->token, TOKEN_CHARS), op->hash);
    db_bind_bytes(&op->query, str_of((const char *)op->hash, sizeof op->hash));
    db_bind_text(&op->query, str_of(op->token, TOKEN_PREFIX_CHARS));
    db_bind_i32(&op->query, (int32_t)call->user.id);
    if (op->description.p)
        db_bind_text(&op->query, op->description);
    else
        db_bind_null(&op->query);
    if (op->expires_us)
        db_bind_time(&op->query, op->expires_us);
    else
        db_bind_null(&op->query);
    db_submit(call->worker->db, &op->query);
}

/* ---- R20 */

static void no_token(struct http_call *call)
{
    http_answer_error(call, -ERR_NOT_FOUND,
                      arena_printf(&call->arena, "Token with id %.*s not found", STR_ARG(str_take(call->params[0], ID_DASHED))));
}

static void deleted(struct db_query *q, int r, const struct db_rows *rows)
{
    struct http_call *call = api_op_of(q)->call;
    if (api_failed(call, r))
        return;
    if (db_count(rows) == 0)
        no_token(call);
    else
        http_answer_empty(call, 204);
}

void token_delete(struct http_call *call)
{
    int64_t id;
    if (!str_to_i64(call->params[0], &id) || id < 1 || id > INT32_MAX) {
        no_token(call);
        return;
    }
    struct api_op *op = api_op_new(call, STMT_TOKEN_DELETE, deleted);
    db_bind_i32(&op->query, (int32_t)id);
    db_bind_i32(&op->query, (int32_t)call->user.id);
    db_bind_bool(&op->query, http_may(call, SCOPE_ADMIN));
    api_op_submit(op);
}
