/* authenticate.c: who is asking (contract §1.2 "→ Ours"): a Bearer token or the session cookie, one statement. The statement also notes the
 * use, at most once a minute. Nothing is cached: a revoked session or token ends with its next request. */
#include "internal.h"

#include "picket/auth/secret.h"

#define SESSION_COOKIE "rustrak_session" /* the dashboard's name for it (contract §1.2) */

struct authentication { /* in req->pool */
    struct db_query query;
    struct http_call *call;
    void (*next)(struct http_call *call);
};

static void dispose(void *memory)
{
    db_cancel(&((struct authentication *)memory)->query);
}

/* Columns: id, email, is_admin, is_active. */
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
    if (!db_bool(rows, 0, 3)) {
        http_answer_error(call, -ERR_UNAUTHORIZED, STR("User is inactive"));
        return;
    }
    call->user.id = db_i64(rows, 0, 0);
    call->user.email = arena_str(&call->arena, db_text(rows, 0, 1));
    call->user.is_admin = db_bool(rows, 0, 2);
    op->next(call);
}

static void ask(struct http_call *call, enum db_stmt stmt, struct str secret, void (*next)(struct http_call *call))
{
    struct authentication *op = http_on_dispose(call, sizeof *op, dispose);
    op->call = call;
    op->next = next;
    secret_hash(secret, call->user.session_hash);
    db_query_init(&op->query, stmt, known);
    db_bind_bytes(&op->query, str_of((const char *)call->user.session_hash, SECRET_HASH_BYTES));
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

void authenticate(struct http_call *call, void (*next)(struct http_call *call))
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
