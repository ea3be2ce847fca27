/* passwords.c: how people come in by a link, and get a new password: by a link, or by the one that they have.
 *
 * throttle → Argon2id on the work pool → one statement, which takes the link (migration 0036: user_links)
 *
 * A link that was used, has expired or never was gets one answer, after the same work. */
#include "login.h"

#include "password_work.h"
#include "picket/auth/email.h"

struct password_op { /* in the request's pool */
    struct db_query query;
    struct password_work work;
    struct http_call *call;
    struct str email, token; /* p == NULL: none */
    struct new_session session;
    uint8_t hash[SECRET_HASH_BYTES]; /* of the token */
};

static void dispose(void *memory)
{
    struct password_op *op = memory;
    db_cancel(&op->query);
    password_work_dispose(&op->work);
    explicit_bzero(&op->session, sizeof op->session);
}

static struct password_op *op_new(struct http_call *call, void (*done)(struct password_work *w))
{
    struct password_op *op = http_on_dispose(call, sizeof *op, dispose);
    op->call = call;
    op->work = (struct password_work){.call = call, .done = done};
    db_query_init(&op->query, STMT_USER_LOGIN, NULL);
    return op;
}

/* ---- links */

/* The members that both links have: "token", "password". False: answered. */
static bool read_link(struct password_op *op)
{
    struct http_call *call = op->call;
    if (!api_body_str(call, "token", &op->token) || !password_read(call, "password", PASSWORD_NEW, &op->work.wanted))
        return false;
    if (op->token.n == 0) {
        api_refuse(call, "token is required");
        return false;
    }
    secret_hash(op->token, op->hash);
    return !login_throttled(call, op->token);
}

static void no_link(struct password_op *op)
{
    login_failed(op->call, op->token);
    http_answer_error(op->call, -ERR_NOT_FOUND, STR("This link is not valid: it was used, has expired, or never was"));
}

static void bind_link(struct password_op *op)
{
    db_bind_bytes(&op->query, str_of((const char *)op->hash, sizeof op->hash));
}

/* Columns: whether an e-mail is missing, then id, email, role or nulls. */
static void accepted(struct db_query *q, int r, const struct db_rows *rows)
{
    struct password_op *op = container_of(q, struct password_op, query);
    enum role role = ROLE_VIEWER;
    if (r == -ERR_DB_CONFLICT) { /* the link stays good; it must not tell who all is there */
        login_failed(op->call, op->token);
        http_answer_error(op->call, r, STR("Email already exists"));
    } else if (api_failed(op->call, r)) {
        return;
    } else if (db_bool(rows, 0, 0)) {
        api_refuse(op->call, "Email is required: the invitation names nobody");
    } else if (db_is_null(rows, 0, 1)) {
        no_link(op);
    } else if (role_parse(db_text(rows, 0, 3), &role)) {
        session_answer(op->call, 201, &op->session, db_i64(rows, 0, 1), arena_str(&op->call->arena, db_text(rows, 0, 2)), role);
    }
}

static void accept_hashed(struct password_work *w)
{
    struct password_op *op = container_of(w, struct password_op, work);
    if (login_throttled(op->call, op->token))
        return;
    db_query_init(&op->query, STMT_INVITATION_ACCEPT, accepted);
    bind_link(op);
    api_bind_text_or_null(&op->query, op->email);
    db_bind_text(&op->query, str_from(w->hash));
    session_begin(&op->query, op->call, &op->session);
    db_submit(op->call->worker->db, &op->query);
}

void invitation_accept(struct http_call *call)
{
    struct password_op *op = op_new(call, accept_hashed);
    if (!api_body_str(call, "email", &op->email))
        return;
    if (op->email.p && !email_is_valid(op->email))
        api_refuse(call, "Invalid email format");
    else if (read_link(op))
        password_work_start(&op->work);
}

/* Column: the user's e-mail. */
static void reset(struct db_query *q, int r, const struct db_rows *rows)
{
    struct password_op *op = container_of(q, struct password_op, query);
    if (api_failed(op->call, r))
        return;
    if (db_count(rows) == 0) {
        no_link(op);
        return;
    }
    throttle_succeeded(api_of(op->call)->config.throttle, db_text(rows, 0, 0)); /* who forgot it may have tried a few */
    http_answer_empty(op->call, 204);
}

static void reset_hashed(struct password_work *w)
{
    struct password_op *op = container_of(w, struct password_op, work);
    if (login_throttled(op->call, op->token))
        return;
    db_query_init(&op->query, STMT_PASSWORD_RESET, reset);
    bind_link(op);
    db_bind_text(&op->query, str_from(w->hash));
    api_bind_actor(&op->query, op->call);
    db_submit(op->call->worker->db, &op->query);
}

void password_reset(struct http_call *call)
{
    struct password_op *op = op_new(call, reset_hashed);
    if (read_link(op))
        password_work_start(&op->work);
}

/* ---- one's own */

static void wrong(struct password_op *op)
{
    api_refuse(op->call, "The current password is wrong");
}

static void changed(struct db_query *q, int r, const struct db_rows *rows)
{
    struct password_op *op = container_of(q, struct password_op, query);
    if (api_failed(op->call, r))
        return;
    if (db_count(rows) == 0) { /* somebody else has changed it meanwhile */
        wrong(op);
        return;
    }
    throttle_succeeded(api_of(op->call)->config.throttle, op->call->user.email);
    http_answer_empty(op->call, 204);
}

static void verified(struct password_work *w)
{
    struct password_op *op = container_of(w, struct password_op, work);
    struct http_call *call = op->call;
    if (login_throttled(call, call->user.email))
        return;
    if (!w->matches) {
        login_failed(call, call->user.email);
        wrong(op);
        return;
    }
    db_query_init(&op->query, STMT_PASSWORD_CHANGE, changed);
    db_bind_i32(&op->query, (int32_t)call->user.id);
    db_bind_text(&op->query, str_from(w->phc));
    db_bind_text(&op->query, str_from(w->hash));
    db_bind_bytes(&op->query, str_of((const char *)call->user.session_hash, SECRET_HASH_BYTES));
    api_bind_actor(&op->query, call);
    db_submit(call->worker->db, &op->query);
}

/* Columns: id, password_hash, … */
static void user_found(struct db_query *q, int r, const struct db_rows *rows)
{
    struct password_op *op = container_of(q, struct password_op, query);
    if (api_failed(op->call, r))
        return;
    struct str phc = db_count(rows) ? db_text(rows, 0, 1) : STR("");
    if (phc.n < sizeof op->work.phc)
        memcpy(op->work.phc, phc.p, phc.n);
    password_work_start(&op->work);
}

void password_change(struct http_call *call)
{
    struct password_op *op = op_new(call, verified);
    if (!password_read(call, "current_password", PASSWORD_GIVEN, &op->work.current) ||
        !password_read(call, "new_password", PASSWORD_NEW, &op->work.wanted) || login_throttled(call, call->user.email))
        return;
    db_query_init(&op->query, STMT_USER_LOGIN, user_found);
    db_bind_text(&op->query, call->user.email);
    db_submit(call->worker->db, &op->query);
}
