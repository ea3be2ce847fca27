/* authenticate.c: who is asking (contract §1.2 "→ Ours"): a Bearer token or the session cookie, one statement. The statement also notes the
 * use, at most once a minute, and says whether they see the project of the path. Nothing is cached: a revoked session or token ends with its next request,
 * and so does a right that is taken away. */
#include "internal.h"

#include "picket/auth/secret.h"

#define SESSION_COOKIE "rustrak_session" /* the dashboard's name for it (contract §1.2) */

struct authentication { /* in req->pool */
    struct db_query query;
    struct http_call *call;
    http_handler_fn *next;
};

static void dispose(void *memory)
{
    db_cancel(&((struct authentication *)memory)->query);
}

enum column { U_ID, U_EMAIL, U_ACTIVE, U_ROLE, U_SEES_ALL, U_SEES, T_ID, T_SCOPES, T_PROJECTS, T_EXPIRES, T_IS_FOR };

static void take_token(struct http_call *call, const struct db_rows *rows)
{
    struct http_user *user = &call->user;
    user->token_id = db_i64(rows, 0, T_ID);
    user->token.has_scopes = !db_is_null(rows, 0, T_SCOPES);
    if (user->token.has_scopes)
        user->scopes &= scopes_of_array(db_text(rows, 0, T_SCOPES));
    if (!db_is_null(rows, 0, T_PROJECTS)) {
        user->token.projects = arena_str(&call->arena, db_text(rows, 0, T_PROJECTS));
        user->scopes &= ~scope_bit(SCOPE_ADMIN);
    }
    if (!db_is_null(rows, 0, T_EXPIRES))
        user->token.expires_us = db_time(rows, 0, T_EXPIRES);
}

/* A role that a later release has made may nothing here. */
static void take_user(struct http_call *call, const struct db_rows *rows)
{
    struct http_user *user = &call->user;
    user->id = db_i64(rows, 0, U_ID);
    user->email = arena_str(&call->arena, db_text(rows, 0, U_EMAIL));
    user->sees_all = db_bool(rows, 0, U_SEES_ALL);
    user->scopes = role_parse(db_text(rows, 0, U_ROLE), &user->role) ? role_scopes(user->role) : 0;
    if (user->by_token)
        take_token(call, rows);
}

static enum permit_project project_of(const struct http_call *call, const struct db_rows *rows)
{
    if (!is_of_project(call))
        return PROJECT_NONE;
    if (!db_bool(rows, 0, U_SEES))
        return PROJECT_UNSEEN;
    return call->user.by_token && !db_bool(rows, 0, T_IS_FOR) ? PROJECT_NOT_THE_TOKENS : PROJECT_SEEN;
}

static void known(struct db_query *q, int r, const struct db_rows *rows)
{
    struct authentication *op = container_of(q, struct authentication, query);
    struct http_call *call = op->call;
    if (r < 0) {
        http_answer_error(call, r, STR(""));
        return;
    }
    if (db_count(rows) == 0) {
        http_answer_error(call, -ERR_UNAUTHORIZED, STR("Not authenticated"));
        return;
    }
    if (!db_bool(rows, 0, U_ACTIVE)) {
        http_answer_error(call, -ERR_UNAUTHORIZED, STR("User is inactive"));
        return;
    }
    take_user(call, rows);
    if (permit(call, project_of(call, rows)))
        op->next(call);
}

/* Whether they see it is part of the statement. What can be no id is that of no project. */
static void bind_project(struct db_query *q, const struct http_call *call)
{
    int64_t id;
    if (!is_of_project(call))
        db_bind_null(q);
    else
        db_bind_i32(q, str_to_i64(call->params[0], &id) && id > 0 && id <= INT32_MAX ? (int32_t)id : 0);
}

static void ask(struct http_call *call, enum db_stmt stmt, struct str secret, http_handler_fn *next)
{
    struct authentication *op = http_on_dispose(call, sizeof *op, dispose);
    op->call = call;
    op->next = next;
    secret_hash(secret, call->user.session_hash);
    db_query_init(&op->query, stmt, known);
    db_bind_bytes(&op->query, str_of((const char *)call->user.session_hash, SECRET_HASH_BYTES));
    bind_project(&op->query, call);
    if (stmt == STMT_AUTH_SESSION)
        db_bind_i64(&op->query, http_config(call)->session_idle_us);
    db_submit(call->worker->db, &op->query);
}

bool http_has_token(const struct http_call *call)
{
    return str_starts_nocase(http_header(call, "authorization"), STR("bearer "));
}

void http_authenticate_token(struct http_call *call, http_handler_fn *next)
{
    struct str token;
    call->user.by_token = true;
    if (token_from_header(http_header(call, "authorization"), &token))
        ask(call, STMT_AUTH_TOKEN, token, next);
    else
        http_answer_error(call, -ERR_UNAUTHORIZED, STR("malformed token: \"Bearer \" and 40 lower-case hexadecimal digits are expected"));
}

void authenticate(struct http_call *call, http_handler_fn *next)
{
    if (http_has_token(call)) {
        http_authenticate_token(call, next);
        return;
    }
    struct str session = cookie_value(http_header(call, "cookie"), STR(SESSION_COOKIE));
    if (session.n == SESSION_CHARS)
        ask(call, STMT_AUTH_SESSION, session, next);
    else
        http_answer_error(call, -ERR_UNAUTHORIZED, STR("Not authenticated"));
}
