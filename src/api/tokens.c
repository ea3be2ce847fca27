/* tokens.c: R18 – R20 (contract §1.14). A token is shown once and stored as its hash. Users see and revoke their own, administrators everybody's; one that is
 * cut, by scopes or projects, sees and revokes itself alone. No token makes one that may more, elsewhere or for longer than itself; and what a token made goes
 * with it (0041_token_families.sql). */
#include "internal.h"

#include "picket/auth/secret.h"
#include "picket/base/clock.h"

enum { DESCRIPTION_MAX = 255, PROJECTS_MAX = 1000 };

/* ---- R18 */

/* The token in use, when it is cut: then nothing of the user's other ones; else null. */
static void bind_alone(const struct http_call *call, struct db_query *q)
{
    if (http_is_cut(call))
        db_bind_i32(q, (int32_t)call->user.token_id);
    else
        db_bind_null(q);
}

/* Lists, as JSON; null: whatever its user may. Columns: scopes, project_ids. */
static void put_limits(struct json_writer *w, const struct db_rows *rows, int row, int col)
{
    static const struct str keys[] = {STR("scopes"), STR("project_ids")};
    for (int i = 0; i < (int)ARRAY_LEN(keys); i++) {
        json_key(w, keys[i]);
        json_put_raw(w, db_is_null(rows, row, col + i) ? STR("null") : db_text(rows, row, col + i));
    }
}

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
        put_limits(&w, rows, i, 7);
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
    bind_alone(call, &op->query);
    api_op_submit(op);
}

/* ---- R19 */

struct token_create { /* in the request's pool */
    struct db_query query;
    struct http_call *call;
    struct str description;      /* p == NULL: none */
    int64_t expires_us;          /* 0: never */
    struct str scopes, projects; /* arrays as PostgreSQL reads them; p == NULL: all, or those of the token in use */
    char token[TOKEN_CHARS + 1];
    uint8_t hash[SECRET_HASH_BYTES];
};

static void create_dispose(void *memory)
{
    struct token_create *op = memory;
    db_cancel(&op->query);
    explicit_bzero(op->token, sizeof op->token);
}

/* Columns: a project that is not there for the user, one that the token in use is not for, whether that is gone; id, created_at, expires_at, scopes, project_ids. */
static void created(struct db_query *q, int r, const struct db_rows *rows)
{
    struct token_create *op = container_of(q, struct token_create, query);
    if (api_failed(op->call, r))
        return;
    if (!db_is_null(rows, 0, 0) || !db_is_null(rows, 0, 1)) {
        bool unseen = !db_is_null(rows, 0, 0);
        long long id = db_i64(rows, 0, !unseen);
        http_answer_error(op->call, unseen ? -ERR_INVALID : -ERR_FORBIDDEN,
                          unseen ? arena_printf(&op->call->arena, "project_ids: Project with id %lld not found", id)
                                 : arena_printf(&op->call->arena, "project_ids: the token is not for project %lld", id));
        return;
    }
    if (db_bool(rows, 0, 2)) {
        http_answer_error(op->call, -ERR_UNAUTHORIZED, STR("Not authenticated"));
        return;
    }
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    json_writer_init(&w, &out);
    json_begin_object(&w);
    json_field_i64(&w, STR("id"), db_i64(rows, 0, 3));
    json_field_str(&w, STR("token"), str_of(op->token, TOKEN_CHARS));
    if (op->description.p)
        json_field_str(&w, STR("description"), op->description);
    else
        json_field_null(&w, STR("description"));
    json_field_time(&w, STR("created_at"), db_time(rows, 0, 4));
    api_put_time(&w, STR("expires_at"), rows, 0, 5);
    put_limits(&w, rows, 0, 6);
    json_end_object(&w);
    http_answer_json(op->call, 201, &out);
}

static void refuse_word(struct http_call *call, const struct json *v)
{
    AUTO_BUF struct buf known = {0};
    struct str word = STR("");
    scopes_format(~UINT32_C(0), ", ", &known);
    (void)json_str(v, &call->arena, &word); /* of something else: empty */
    word = str_take_code_points(word, ID_DASHED);
    http_answer_error(call, -ERR_INVALID,
                      arena_printf(&call->arena, "scopes: '%.*s' is none; there are %s, and project:*, event:*, alert:*", STR_ARG(word),
                                   buf_cstr(&known)));
}

/* A word with an asterisk is what of it one has. False: answered. */
static bool add_scope(struct http_call *call, const struct json *v, uint32_t *scopes)
{
    struct str word;
    uint32_t bits = json_str_raw(v, &word) ? scope_parse(word) : 0, may = call->user.scopes & bits;
    if (bits == 0) {
        refuse_word(call, v);
        return false;
    }
    for (unsigned i = 0; may == 0 && i < SCOPES; i++)
        if (bits & scope_bit((enum scope)i)) {
            http_refuse_scope(call, (enum scope)i);
            return false;
        }
    *scopes |= may;
    return true;
}

/* A member that is a list with something in it. *ret is NULL for an absent or null one. False: answered. */
static bool read_list(struct http_call *call, const char *name, const struct json **ret)
{
    const struct json *v = json_get(json_root(call->body), str_from(name));
    *ret = NULL;
    if (json_type(v) == JSON_NONE || json_type(v) == JSON_NULL)
        return true;
    *ret = v;
    if (json_type(v) == JSON_ARRAY && json_count(v) > 0 && json_count(v) <= PROJECTS_MAX)
        return true;
    http_answer_error(call, -ERR_INVALID, arena_printf(&call->arena, "%s must be a list of 1 to %d, or null", name, PROJECTS_MAX));
    return false;
}

/* Without a list: what the token in use has. False: answered. */
static bool read_scopes(struct token_create *op)
{
    struct http_call *call = op->call;
    const struct json *list;
    uint32_t scopes = 0;
    AUTO_BUF struct buf array = {0};
    if (!read_list(call, "scopes", &list))
        return false;
    if (!list && !call->user.token.has_scopes)
        return true;
    if (!list)
        scopes = call->user.scopes;
    for (struct json_iter it = json_iter(list); json_next(&it);)
        if (!add_scope(call, it.value, &scopes))
            return false;
    if (op->projects.p && list && scopes & scope_bit(SCOPE_ADMIN)) {
        api_refuse(call, "scopes: admin is for the whole installation, and a token with project_ids is not");
        return false;
    }
    buf_append_str(&array, STR("{"));
    scopes_format(scopes, ",", &array);
    buf_append_str(&array, STR("}"));
    op->scopes = arena_str(&call->arena, buf_str(&array));
    return true;
}

/* False: answered. */
static bool read_projects(struct token_create *op)
{
    const struct json *list;
    AUTO_BUF struct buf array = {0};
    if (!read_list(op->call, "project_ids", &list))
        return false;
    for (struct json_iter it = json_iter(list); json_next(&it);) {
        int64_t id;
        if (!json_i64(it.value, &id) || id < 1 || id > INT32_MAX) {
            api_refuse(op->call, "project_ids must be the numbers of projects");
            return false;
        }
        buf_printf(&array, "%c%lld", array.n ? ',' : '{', (long long)id);
    }
    if (list) {
        buf_append_str(&array, STR("}"));
        op->projects = arena_str(&op->call->arena, buf_str(&array));
    }
    return true;
}

/* False: answered. */
static bool read_expiry(struct token_create *op)
{
    struct str text;
    if (!api_body_str(op->call, "expires_at", &text))
        return false;
    op->expires_us = op->call->user.token.expires_us;
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
    int64_t end_us = op->call->user.token.expires_us;
    if (end_us && op->expires_us > end_us) {
        http_answer_error(op->call, -ERR_FORBIDDEN, STR("expires_at: the token that makes this one ends before that"));
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
    if (!read_description(op) || !read_expiry(op) || !read_projects(op) || !read_scopes(op))
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
    api_bind_text_or_null(&op->query, op->scopes);
    api_bind_text_or_null(&op->query, op->projects);
    if (call->user.by_token)
        db_bind_i32(&op->query, (int32_t)call->user.token_id);
    else
        db_bind_null(&op->query);
    api_bind_actor(&op->query, call);
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
    api_answer_gone(api_op_of(q)->call, r, rows, no_token);
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
    bind_alone(call, &op->query);
    api_bind_actor(&op->query, call);
    api_op_submit(op);
}
