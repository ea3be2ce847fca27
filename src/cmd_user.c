/* cmd_user.c: `picket user add|passwd|reset-link|list`. */
#include <stdio.h>

#include "cmd.h"
#include "picket/auth/email.h"
#include "picket/auth/password.h"
#include "picket/auth/scope.h"
#include "picket/auth/secret.h"
#include "picket/base/error.h"

static const char usage[] =
    "usage: picket user add EMAIL [--role owner|admin|member|viewer] [--project ID,…] [--password-stdin]\n"
    "       picket user passwd EMAIL [--password-stdin]\n"
    "       picket user reset-link EMAIL\n"
    "       picket user list [--json]\n\n"
    "Without --role it is a member, --admin is the same as --role owner. Members and viewers see all projects, or "
    "those of --project alone.\n"
    "Without --password-stdin a random password is made and printed once. A new password ends the user's sessions.\n"
    "reset-link prints a link by which the user sets one within a day, once.";

/* A password in the clear: wiped by whoever filled it. */
struct password {
    char text[PASSWORD_MAX_BYTES + 2]; /* one more than is allowed, so that a longer one shows */
    char hash[PASSWORD_HASH_MAX];
};

enum source { RANDOM, STANDARD_INPUT };

static int choose(struct password *p, enum source source)
{
    if (source == RANDOM) {
        password_random(p->text);
    } else {
        if (!fgets(p->text, sizeof p->text, stdin))
            return cmd_fail("there is no password on standard input");
        p->text[strcspn(p->text, "\r\n")] = '\0';
    }
    struct str text = str_from(p->text);
    if (!str_is_utf8(text))
        return cmd_fail("the password is not UTF-8: no dashboard could send it");
    if (text.n > PASSWORD_MAX_BYTES || str_take_code_points(text, PASSWORD_MIN - 1).n == text.n)
        return cmd_fail("a password has at least %d characters and at most %d bytes", PASSWORD_MIN, PASSWORD_MAX_BYTES);
    int r = password_hash(text, p->hash);
    return r < 0 ? cmd_fail("the password cannot be hashed: %s", err_text(r)) : EXIT_OK;
}

static void see_count(void *arg, const struct db_rows *rows)
{
    *(int *)arg = db_count(rows);
}

static int store(const struct config *config, struct db_query *q, const char *email)
{
    int n = 0;
    int code = cmd_db_ask(config, q, see_count, &n, NULL);
    if (code == EXIT_OK && n == 0)
        return cmd_fail("there is no user %s: picket user list shows all", email);
    return code;
}

static void tell(const char *what, const char *email, const struct password *p, enum source source)
{
    if (source == RANDOM)
        printf("%s %s, password %s\n", what, email, p->text);
    else
        printf("%s %s\n", what, email);
}

/* True: go on. What is looked up need not be a good address. */
static bool check_name(const char *email, int *ret_code)
{
    if (email && str_is_utf8(str_from(email)))
        return true;
    *ret_code = cmd_usage("user", "an e-mail address is expected");
    return false;
}

/* True: go on. */
static bool check_email(const char *email, int *ret_code)
{
    if (!email)
        *ret_code = cmd_usage("user", "an e-mail address is expected");
    else if (!email_is_valid(str_from(email)))
        *ret_code = cmd_usage("user", "'%s' is not an e-mail address that dashboards can log in with (name@host.domain)", email);
    return email && email_is_valid(str_from(email));
}

/* What `add` is told. */
struct wish {
    const char *email, *role_given, *projects;
    bool admin, from_stdin;
    enum role role;
    struct buf project_array; /* as PostgreSQL reads it */
};

/* True: go on. */
static bool read_rights(struct wish *wish, int *ret_code)
{
    wish->role = wish->admin ? ROLE_OWNER : ROLE_MEMBER;
    if (wish->role_given && !role_parse(str_from(wish->role_given), &wish->role))
        *ret_code = cmd_usage("user", "--role is owner, admin, member or viewer");
    else if (wish->admin && wish->role != ROLE_OWNER)
        *ret_code = cmd_usage("user", "--admin is the same as --role owner: give one of them");
    else if (wish->projects && wish->role >= ROLE_ADMIN)
        *ret_code = cmd_usage("user", "an owner or admin sees all projects: --project is for members and viewers");
    else
        return cmd_read_projects("user", wish->projects, &wish->project_array, ret_code);
    return false;
}

static int insert(const struct config *config, struct wish *wish, const struct password *p)
{
    AUTO_BUF struct buf conflict = {0};
    struct db_query q;
    int n = 0;
    buf_printf(&conflict, "there is a user %s already: picket user passwd changes the password", wish->email);
    db_query_init(&q, STMT_USER_INSERT, NULL);
    db_bind_text(&q, str_from(wish->email));
    db_bind_text(&q, str_from(p->hash));
    db_bind_text(&q, str_from(role_name(wish->role)));
    if (wish->projects)
        db_bind_text(&q, buf_str(&wish->project_array));
    else
        db_bind_null(&q);
    int code = cmd_db_ask(config, &q, see_count, &n, buf_cstr(&conflict));
    if (code == EXIT_OK && n == 0)
        return cmd_fail("one of these projects is not there: picket project list shows all");
    return code;
}

static int add(const struct config *config, int argc, char **argv)
{
    struct wish wish = {0};
    const struct cmd_option options[] = {{"--admin", &wish.admin, NULL},
                                         {"--role", NULL, &wish.role_given},
                                         {"--project", NULL, &wish.projects},
                                         {"--password-stdin", &wish.from_stdin, NULL}};
    const struct cmd_line line = {"user", usage, options, ARRAY_LEN(options), &wish.email, 1};
    struct password p;
    int code;
    if (!cmd_read(&line, argc, argv, &code) || !check_email(wish.email, &code) || !read_rights(&wish, &code)) {
        buf_done(&wish.project_array);
        return code;
    }
    enum source source = wish.from_stdin ? STANDARD_INPUT : RANDOM;
    code = choose(&p, source);
    if (code == EXIT_OK)
        code = insert(config, &wish, &p);
    if (code == EXIT_OK)
        tell(wish.role >= ROLE_ADMIN ? "Added the administrator" : "Added", wish.email, &p, source);
    buf_done(&wish.project_array);
    explicit_bzero(&p, sizeof p);
    return code;
}

static int passwd(const struct config *config, int argc, char **argv)
{
    bool from_stdin = false;
    const char *email = NULL;
    const struct cmd_option options[] = {{"--password-stdin", &from_stdin, NULL}};
    const struct cmd_line line = {"user", usage, options, ARRAY_LEN(options), &email, 1};
    struct password p;
    int code;
    if (!cmd_read(&line, argc, argv, &code) || !check_name(email, &code))
        return code;
    enum source source = from_stdin ? STANDARD_INPUT : RANDOM;
    code = choose(&p, source);
    if (code == EXIT_OK) {
        struct db_query q;
        db_query_init(&q, STMT_USER_SET_PASSWORD, NULL);
        db_bind_text(&q, str_from(email));
        db_bind_text(&q, str_from(p.hash));
        code = store(config, &q, email);
    }
    if (code == EXIT_OK)
        tell("Changed the password of", email, &p, source);
    explicit_bzero(&p, sizeof p);
    return code;
}

struct link {
    bool is_known, is_inactive;
};

/* Columns: why not, user, e-mail, end. */
static void see_link(void *arg, const struct db_rows *rows)
{
    struct link *link = arg;
    link->is_known = !db_is_null(rows, 0, 1);
    link->is_inactive = !db_is_null(rows, 0, 0);
}

static int make_link(struct cmd_db *d, const struct config *config, const char *email, struct link *ret, const char *token)
{
    enum { DAY_S = 86400 };
    AUTO_BUF struct buf url = {0};
    uint8_t hash[SECRET_HASH_BYTES];
    struct db_query q;
    secret_hash(str_from(token), hash);
    db_query_init(&q, STMT_PASSWORD_RESET_ADD, NULL);
    db_bind_null(&q); /* by nobody known */
    db_bind_null(&q);
    db_bind_text(&q, str_from(email));
    db_bind_bytes(&q, str_of((const char *)hash, sizeof hash));
    db_bind_i64(&q, DAY_S);
    int code = cmd_db_run(d, &q, see_link, ret, NULL);
    if (code != EXIT_OK)
        return code;
    if (!ret->is_known)
        return cmd_fail("there is no user %s: picket user list shows all", email);
    if (ret->is_inactive)
        return cmd_fail("%s is not active: an owner can change that", email);
    if (config->dashboard_url && config->dashboard_url[0])
        buf_append_str(&url, str_from(config->dashboard_url));
    else
        code = cmd_public_url(d, config, &url);
    if (code == EXIT_OK)
        printf("%s/reset-password#token=%s\n", buf_cstr(&url), token);
    return code;
}

static int reset_link(const struct config *config, int argc, char **argv)
{
    const char *email = NULL;
    const struct cmd_line line = {.command = "user", .usage = usage, .arguments = &email, .arguments_max = 1};
    char token[SESSION_CHARS + 1];
    struct link link = {0};
    struct cmd_db d;
    int code;
    if (!cmd_read(&line, argc, argv, &code) || !check_name(email, &code))
        return code;
    session_new(token);
    code = cmd_db_open(&d, config);
    if (code != EXIT_OK)
        return code;
    code = make_link(&d, config, email, &link, token);
    cmd_db_close(&d);
    explicit_bzero(token, sizeof token);
    return code;
}

/* Columns: id, email, role, is_admin, projects, is_active, created_at, last_login_at. */
static void see_users(void *arg, const struct db_rows *rows)
{
    struct cmd_table *t = arg;
    for (int i = 0; i < db_count(rows); i++) {
        cmd_table_number(t, db_i64(rows, i, 0));
        cmd_table_text(t, db_text(rows, i, 1));
        cmd_table_text(t, db_text(rows, i, 2));
        cmd_table_flag(t, db_bool(rows, i, 3));
        cmd_table_text(t, db_text(rows, i, 4));
        cmd_table_flag(t, db_bool(rows, i, 5));
        cmd_table_time(t, rows, i, 6);
        cmd_table_time(t, rows, i, 7);
    }
}

static int list(const struct config *config, int argc, char **argv)
{
    static const char *const columns[] = {"id", "email", "role", "admin", "projects", "active", "created_at", "last_login_at"};
    struct cmd_table t = {.columns = columns, .n_columns = ARRAY_LEN(columns)};
    bool json = false;
    const struct cmd_option options[] = {{"--json", &json, NULL}};
    const struct cmd_line line = {.command = "user", .usage = usage, .options = options, .n_options = ARRAY_LEN(options)};
    struct db_query q;
    int code;
    if (!cmd_read(&line, argc, argv, &code))
        return code;
    db_query_init(&q, STMT_USER_ALL, NULL);
    code = cmd_db_ask(config, &q, see_users, &t, NULL);
    if (code == EXIT_OK)
        cmd_table_print(&t, json);
    return code;
}

int cmd_user(const struct config *config, int argc, char **argv)
{
    static const struct cmd_verb verbs[] = {{"add", add}, {"passwd", passwd}, {"reset-link", reset_link}, {"list", list}};
    return cmd_verbs("user", usage, verbs, ARRAY_LEN(verbs), config, argc, argv);
}
