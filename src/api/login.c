/* login.c: R3 – R6 (contract §1.2, §1.10), and how sessions begin.
 *
 * login:    throttle → user's row → Argon2id on the work pool → session row → cookie
 * register: Argon2id on the work pool → user and session rows → cookie
 *
 * A session is always a new one: what cookie came with the request is not looked at.
 *
 * An unknown e-mail is verified against no hash, which takes the same time, so that existence does not show; that an account is disabled is
 * said only to who knows its password. The throttle is asked again after the verification: guesses that were sent at once and all
 * passed the first question learn nothing. */
#include "login.h"

#include "password_work.h"
#include "picket/auth/email.h"
#include "picket/base/clock.h"
#include "picket/base/log.h"

#define COOKIE "rustrak_session"
enum { USER_AGENT_MAX = 256 };

struct login_op { /* in the request's pool */
    struct db_query query;
    struct password_work work;
    struct http_call *call;
    struct str email; /* in the call's arena */
    int64_t user_id;
    enum role role;
    bool is_active, is_known;
    struct new_session session;
};

static void dispose(void *memory)
{
    struct login_op *op = memory;
    db_cancel(&op->query);
    password_work_dispose(&op->work);
    explicit_bzero(&op->session, sizeof op->session);
}

/* ---- cookies and answers */

static void set_cookie(struct http_call *call, const char *value, const char *tail)
{
    const char *secure = http_config(call)->secure_cookies ? "Secure; " : "";
    http_add_header(call, STR("set-cookie"),
                    arena_printf(&call->arena, COOKIE "=%s; HttpOnly; SameSite=Lax; %sPath=/%s", value, secure, tail));
}

static void put_user(struct json_writer *w, int64_t id, struct str email, enum role role)
{
    json_begin_object(w);
    json_field_i64(w, STR("id"), id);
    json_field_str(w, STR("email"), email);
    json_field_bool(w, STR("is_admin"), role >= ROLE_ADMIN);
    json_field_str(w, STR("role"), str_from(role_name(role)));
    json_end_object(w);
}

void session_answer(struct http_call *call, int status, const struct new_session *session, int64_t user, struct str email, enum role role)
{
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    json_writer_init(&w, &out);
    json_begin_object(&w);
    json_key(&w, STR("user"));
    put_user(&w, user, email, role);
    json_end_object(&w);
    set_cookie(call, session->text, "");
    http_answer_json(call, status, &out);
}

/* ---- sessions */

/* What no column takes is nobody's. */
static void bind_user_agent(struct db_query *q, struct http_call *call)
{
    struct str agent = http_header(call, "user-agent");
    if (agent.n == 0 || !str_is_utf8(agent) || str_find(agent, 0) < agent.n)
        db_bind_null(q);
    else
        db_bind_text(q, arena_str(&call->arena, str_take_code_points(agent, USER_AGENT_MAX)));
}

void session_begin(struct db_query *q, struct http_call *call, struct new_session *ret)
{
    session_new(ret->text);
    secret_hash(str_of(ret->text, SESSION_CHARS), ret->hash);
    db_bind_bytes(q, str_of((const char *)ret->hash, sizeof ret->hash));
    db_bind_i64(q, http_config(call)->session_absolute_us);
    api_bind_actor(q, call);
    bind_user_agent(q, call);
}

bool login_throttled(struct http_call *call, struct str account)
{
    uint8_t addr[16];
    unsigned wait_s = throttle_check(api_of(call)->config.throttle, account, http_client_address(call, addr), clock_mono_us());
    if (wait_s)
        http_answer_retry(call, -ERR_THROTTLED, STR(""), wait_s);
    return wait_s > 0;
}

void login_failed(struct http_call *call, struct str account)
{
    uint8_t addr[16];
    struct str address = http_client_address(call, addr);
    throttle_failed(api_of(call)->config.throttle, account, address, clock_mono_us());
    log_line(LOG_INFO, "login failed", "address=%.*s", STR_ARG(address));
}

static void session_created(struct db_query *q, int r, const struct db_rows *rows)
{
    struct login_op *op = container_of(q, struct login_op, query);
    if (api_failed(op->call, r))
        return;
    if (db_count(rows) == 0) { /* deleted or disabled since its row was read */
        http_answer_error(op->call, -ERR_UNAUTHORIZED, STR("Invalid credentials"));
        return;
    }
    throttle_succeeded(api_of(op->call)->config.throttle, op->email);
    session_answer(op->call, 200, &op->session, op->user_id, op->email, op->role);
}

static void create_session(struct login_op *op)
{
    op->call->user.id = op->user_id; /* this is who asks, from now on */
    op->call->user.email = op->email;
    db_query_init(&op->query, STMT_SESSION_CREATE, session_created);
    session_begin(&op->query, op->call, &op->session);
    db_bind_i32(&op->query, (int32_t)op->user_id);
    db_submit(op->call->worker->db, &op->query);
}

/* ---- login */

static struct login_op *op_new(struct http_call *call, void (*done)(struct password_work *w))
{
    struct login_op *op = http_on_dispose(call, sizeof *op, dispose);
    op->call = call;
    op->work = (struct password_work){.call = call, .done = done};
    db_query_init(&op->query, STMT_USER_LOGIN, NULL);
    return op;
}

/* False: answered. */
static bool read_email(struct login_op *op)
{
    if (!api_body_str(op->call, "email", &op->email))
        return false;
    if (op->email.n == 0)
        api_refuse(op->call, "Email is required");
    return op->email.n > 0;
}

static void verified(struct password_work *w)
{
    struct login_op *op = container_of(w, struct login_op, work);
    if (login_throttled(op->call, op->email))
        return;
    if (!w->matches || !op->is_known) {
        login_failed(op->call, op->email);
        http_answer_error(op->call, -ERR_UNAUTHORIZED, STR("Invalid credentials"));
    } else if (!op->is_active) {
        http_answer_error(op->call, -ERR_UNAUTHORIZED, STR("Account is disabled"));
    } else {
        create_session(op);
    }
}

/* Columns: id, password_hash, is_active, role. */
static void user_found(struct db_query *q, int r, const struct db_rows *rows)
{
    struct login_op *op = container_of(q, struct login_op, query);
    if (api_failed(op->call, r))
        return;
    if (db_count(rows) > 0) {
        struct str phc = db_text(rows, 0, 1);
        op->user_id = db_i64(rows, 0, 0);
        op->is_active = db_bool(rows, 0, 2);
        if (!role_parse(db_text(rows, 0, 3), &op->role))
            op->role = ROLE_VIEWER;
        op->is_known = phc.n < sizeof op->work.phc;
        if (op->is_known)
            memcpy(op->work.phc, phc.p, phc.n);
    }
    password_work_start(&op->work);
}

void login_login(struct http_call *call)
{
    struct login_op *op = op_new(call, verified);
    if (!read_email(op) || !password_read(call, "password", PASSWORD_GIVEN, &op->work.current) || login_throttled(call, op->email))
        return;
    db_query_init(&op->query, STMT_USER_LOGIN, user_found);
    db_bind_text(&op->query, str_take_code_points(op->email, EMAIL_MAX + 1)); /* longer ones match nobody */
    db_submit(call->worker->db, &op->query);
}

/* ---- registration */

/* Who asks which addresses are taken is slowed down as who guesses passwords, by where they are: an account is not locked for what others try. */
static struct str registrar(struct http_call *call)
{
    uint8_t addr[16];
    struct str address = http_client_address(call, addr);
    return arena_printf(&call->arena, "registration from %.*s", STR_ARG(address));
}

static void registered(struct db_query *q, int r, const struct db_rows *rows)
{
    struct login_op *op = container_of(q, struct login_op, query);
    if (api_failed(op->call, r))
        return;
    if (db_count(rows) == 0) {
        login_failed(op->call, registrar(op->call));
        api_refuse(op->call, "Email already exists");
        return;
    }
    session_answer(op->call, 201, &op->session, db_i64(rows, 0, 0), op->email, ROLE_MEMBER);
}

static void hashed(struct password_work *w)
{
    struct login_op *op = container_of(w, struct login_op, work);
    if (login_throttled(op->call, registrar(op->call)))
        return;
    db_query_init(&op->query, STMT_USER_REGISTER, registered);
    session_begin(&op->query, op->call, &op->session);
    db_bind_text(&op->query, op->email);
    db_bind_text(&op->query, str_from(w->hash));
    db_submit(op->call->worker->db, &op->query);
}

void login_register(struct http_call *call)
{
    if (!api_of(call)->config.allow_registration) {
        http_answer_error(call, -ERR_FORBIDDEN, STR("registration is disabled"));
        return;
    }
    struct login_op *op = op_new(call, hashed);
    if (!read_email(op))
        return;
    if (!email_is_valid(op->email))
        api_refuse(call, "Invalid email format");
    else if (password_read(call, "password", PASSWORD_NEW, &op->work.wanted) && !login_throttled(call, registrar(call)))
        password_work_start(&op->work);
}

/* ---- logout, me */

static void logged_out(struct db_query *q, int r, const struct db_rows *rows)
{
    struct http_call *call = api_op_of(q)->call;
    (void)rows;
    if (api_failed(call, r))
        return;
    set_cookie(call, "", "; Max-Age=0");
    http_answer_empty(call, 204);
}

/* Contract §1.10 R5: always 204. The cookie is taken back even if its session is gone already: the dashboard would keep it otherwise (§7.3). */
void login_logout(struct http_call *call)
{
    struct str session = cookie_value(http_header(call, "cookie"), STR(COOKIE));
    if (session.n == 0) {
        http_answer_empty(call, 204);
        return;
    }
    struct api_op *op = api_op_new(call, STMT_SESSION_DELETE, logged_out);
    secret_hash(session, call->user.session_hash);
    db_bind_bytes(&op->query, str_of((const char *)call->user.session_hash, SECRET_HASH_BYTES));
    api_op_submit(op);
}

void login_me(struct http_call *call)
{
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    json_writer_init(&w, &out);
    put_user(&w, call->user.id, call->user.email, call->user.role);
    http_answer_json(call, 200, &out);
}
