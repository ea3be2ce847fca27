/* login.c: R3 – R6 (contract §1.2, §1.10).
 *
 * login:    throttle → user's row → Argon2id on the work pool → session row → cookie
 * register: Argon2id on the work pool → user and session rows → cookie
 *
 * An unknown e-mail is verified against no hash, which takes the same time, so that existence does not show; that an account is disabled is
 * said only to who knows its password. The throttle is asked again after the verification: guesses that were sent at once and all
 * passed the first question learn nothing. */
#include "internal.h"

#include "picket/auth/email.h"
#include "picket/auth/password.h"
#include "picket/auth/secret.h"
#include "picket/base/clock.h"
#include "picket/base/log.h"

#define COOKIE "rustrak_session"

enum login_kind { LOGIN, REGISTER };

/* On the heap, because a work thread reads and writes it; `op` is cleared when the request ends. */
struct login_job {
    struct http_job job;
    struct login_op *op;
    enum login_kind kind;
    int result;
    bool matches;
    size_t password_bytes;
    char phc[PASSWORD_HASH_MAX];
    char password[];
};

struct login_op { /* in the request's pool */
    struct db_query query;
    struct http_call *call;
    struct login_job *job;
    struct str email, password, address; /* in the call's arena */
    int64_t user_id;
    bool is_active;
    enum role role;
    char phc[PASSWORD_HASH_MAX]; /* "" no such user */
    char session[SESSION_CHARS + 1];
    uint8_t hash[SECRET_HASH_BYTES];
};

static void dispose(void *memory)
{
    struct login_op *op = memory;
    db_cancel(&op->query);
    if (op->job)
        op->job->op = NULL;
    if (op->password.n)
        explicit_bzero((char *)op->password.p, op->password.n);
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

static void welcome(struct login_op *op, int status)
{
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    json_writer_init(&w, &out);
    json_begin_object(&w);
    json_key(&w, STR("user"));
    put_user(&w, op->user_id, op->email, op->role);
    json_end_object(&w);
    set_cookie(op->call, op->session, "");
    http_answer_json(op->call, status, &out);
}

/* ---- sessions */

static void bind_session(struct login_op *op)
{
    session_new(op->session);
    secret_hash(str_of(op->session, SESSION_CHARS), op->hash);
    db_bind_bytes(&op->query, str_of((const char *)op->hash, sizeof op->hash));
    db_bind_i64(&op->query, http_config(op->call)->session_absolute_us);
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
    welcome(op, 200);
}

static void create_session(struct login_op *op)
{
    db_query_init(&op->query, STMT_SESSION_CREATE, session_created);
    bind_session(op);
    db_bind_i32(&op->query, (int32_t)op->user_id);
    db_submit(op->call->worker->db, &op->query);
}

/* ---- the job */

static void job_run(struct http_job *http_job)
{
    struct login_job *job = container_of(http_job, struct login_job, job);
    struct str password = str_of(job->password, job->password_bytes);
    if (job->kind == LOGIN)
        job->matches = password_verify(password, job->phc);
    else
        job->result = password_hash(password, job->phc);
}

static void job_free(struct login_job *job)
{
    explicit_bzero(job->password, job->password_bytes);
    free(job);
}

/* True: too many failures, answered. */
static bool throttled(struct login_op *op)
{
    unsigned wait_s = throttle_check(api_of(op->call)->config.throttle, op->email, op->address, clock_mono_us());
    if (wait_s)
        http_answer_retry(op->call, -ERR_THROTTLED, STR(""), wait_s);
    return wait_s > 0;
}

static void verified(struct login_op *op, bool matches)
{
    if (throttled(op))
        return;
    if (!matches || op->phc[0] == 0) {
        throttle_failed(api_of(op->call)->config.throttle, op->email, op->address, clock_mono_us());
        log_line(LOG_INFO, "login failed", "address=%.*s", STR_ARG(op->address));
        http_answer_error(op->call, -ERR_UNAUTHORIZED, STR("Invalid credentials"));
    } else if (!op->is_active) {
        http_answer_error(op->call, -ERR_UNAUTHORIZED, STR("Account is disabled"));
    } else {
        create_session(op);
    }
}

static void registered(struct db_query *q, int r, const struct db_rows *rows)
{
    struct login_op *op = container_of(q, struct login_op, query);
    if (api_failed(op->call, r))
        return;
    if (db_count(rows) == 0) {
        api_refuse(op->call, "Email already exists");
        return;
    }
    op->user_id = db_i64(rows, 0, 0);
    op->role = ROLE_MEMBER;
    welcome(op, 201);
}

static void hashed(struct login_op *op)
{
    db_query_init(&op->query, STMT_USER_REGISTER, registered);
    bind_session(op);
    db_bind_text(&op->query, op->email);
    db_bind_text(&op->query, str_from(op->phc));
    db_submit(op->call->worker->db, &op->query);
}

static void job_home(struct http_job *http_job)
{
    struct login_job *job = container_of(http_job, struct login_job, job);
    struct login_op *op = job->op;
    enum login_kind kind = job->kind;
    bool matches = job->matches;
    int result = job->result;
    if (op) {
        op->job = NULL;
        memcpy(op->phc, job->phc, sizeof op->phc);
    }
    job_free(job);
    if (!op || api_failed(op->call, result))
        return;
    if (kind == LOGIN)
        verified(op, matches);
    else
        hashed(op);
}

static void start_job(struct login_op *op, enum login_kind kind)
{
    struct login_job *job = malloc(sizeof *job + op->password.n);
    if (!job)
        abort();
    *job = (struct login_job){.job = {.run = job_run, .home = job_home, .pool = api_of(op->call)->config.passwords},
                              .op = op,
                              .kind = kind,
                              .password_bytes = op->password.n};
    memcpy(job->password, op->password.p, op->password.n);
    memcpy(job->phc, op->phc, sizeof job->phc);
    op->job = job;
    int r = http_job_submit(op->call->worker, &job->job);
    if (r < 0) {
        op->job = NULL;
        job_free(job);
        http_answer_error(op->call, r, STR(""));
    }
}

/* ---- login and registration */

static struct login_op *op_new(struct http_call *call)
{
    uint8_t addr[16];
    struct login_op *op = http_on_dispose(call, sizeof *op, dispose);
    op->call = call;
    db_query_init(&op->query, STMT_USER_LOGIN, NULL);
    op->address = http_client_address(call, addr);
    return op;
}

/* False: answered. */
static bool read_credentials(struct login_op *op)
{
    struct http_call *call = op->call;
    if (!api_body_str(call, "email", &op->email) || !api_body_str(call, "password", &op->password))
        return false;
    op->password = arena_str(&call->arena, op->password); /* a copy of our own, to be wiped */
    if (op->email.n == 0)
        api_refuse(call, "Email is required");
    else if (op->password.n == 0)
        api_refuse(call, "Password is required");
    else if (op->password.n > PASSWORD_MAX_BYTES)
        api_refuse(call, "Password is too long");
    else
        return true;
    return false;
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
        if (phc.n < sizeof op->phc)
            memcpy(op->phc, phc.p, phc.n);
    }
    start_job(op, LOGIN);
}

void login_login(struct http_call *call)
{
    struct login_op *op = op_new(call);
    if (!read_credentials(op) || throttled(op))
        return;
    db_query_init(&op->query, STMT_USER_LOGIN, user_found);
    db_bind_text(&op->query, str_take_code_points(op->email, EMAIL_MAX + 1)); /* longer ones match nobody */
    db_submit(call->worker->db, &op->query);
}

void login_register(struct http_call *call)
{
    if (!api_of(call)->config.allow_registration) {
        http_answer_error(call, -ERR_FORBIDDEN, STR("registration is disabled"));
        return;
    }
    struct login_op *op = op_new(call);
    if (!read_credentials(op))
        return;
    if (!email_is_valid(op->email))
        api_refuse(call, "Invalid email format");
    else if (str_take_code_points(op->password, PASSWORD_MIN - 1).n == op->password.n)
        api_refuse(call, "Password must have at least 8 characters");
    else
        start_job(op, REGISTER);
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
