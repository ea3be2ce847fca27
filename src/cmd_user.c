/* cmd_user.c: `picket user add|list|passwd`. */
#include <errno.h>
#include <stdio.h>

#include "cmd.h"
#include "picket/auth/email.h"
#include "picket/auth/password.h"
#include "picket/base/clock.h"
#include "picket/base/error.h"

static const char usage[] = "usage: picket user add EMAIL [--admin] [--password-stdin]\n"
                            "       picket user passwd EMAIL [--password-stdin]\n"
                            "       picket user list [--json]\n\n"
                            "Without --password-stdin a random password is made and printed once. A new password ends the user's sessions.";

struct options {
    const char *email;
    bool admin, from_stdin, json;
};

static bool read_options(int argc, char **argv, struct options *ret)
{
    *ret = (struct options){0};
    for (int i = 2; i < argc; i++) {
        struct str a = str_from(argv[i]);
        if (str_eq(a, STR("--admin")))
            ret->admin = true;
        else if (str_eq(a, STR("--password-stdin")))
            ret->from_stdin = true;
        else if (str_eq(a, STR("--json")))
            ret->json = true;
        else if (a.n && a.p[0] != '-' && !ret->email)
            ret->email = argv[i];
        else
            return false;
    }
    return true;
}

/* The password to set, and its hash. `text` has room for PASSWORD_MAX_BYTES + 2. */
static int choose_password(const struct options *o, char *text, size_t size, char hash[PASSWORD_HASH_MAX])
{
    if (o->from_stdin) {
        if (!fgets(text, (int)size, stdin))
            return cmd_fail("no password on standard input");
        text[strcspn(text, "\r\n")] = '\0';
    } else {
        password_random(text);
    }
    size_t n = strlen(text);
    if (n < PASSWORD_MIN || n > PASSWORD_MAX_BYTES)
        return cmd_fail("a password has %d to %d characters", PASSWORD_MIN, PASSWORD_MAX_BYTES);
    int r = password_hash(str_from(text), hash);
    return r < 0 ? cmd_fail("the password cannot be hashed: %s", err_text(r)) : EXIT_OK;
}

static void see_count(void *arg, const struct db_rows *rows)
{
    *(int *)arg = db_count(rows);
}

static int set_password(struct cmd_db *d, const struct options *o, enum db_stmt stmt, const char *hash)
{
    struct db_query q;
    int n = 0;
    db_query_init(&q, stmt, NULL);
    db_bind_text(&q, str_from(o->email));
    db_bind_text(&q, str_from(hash));
    if (stmt == STMT_USER_INSERT)
        db_bind_bool(&q, o->admin);
    int r = db_wait(d->db, &q, see_count, &n);
    if (r == -ERR_DB_CONFLICT)
        return cmd_fail("there is a user %s already: picket user passwd changes the password", o->email);
    if (r < 0)
        return cmd_fail("%s (%s)", err_text(r), q.sqlstate);
    return n == 1 ? EXIT_OK : cmd_fail("there is no user %s: picket user list shows all", o->email);
}

static int change(const struct config *config, const struct options *o, enum db_stmt stmt)
{
    char text[PASSWORD_MAX_BYTES + 2], hash[PASSWORD_HASH_MAX];
    if (!o->email)
        return cmd_usage("user", "an e-mail address is missing");
    if (!email_is_valid(str_from(o->email)))
        return cmd_fail("%s is not an e-mail address that the dashboard can log in with (name@host.domain)", o->email);
    int code = choose_password(o, text, sizeof text, hash);
    if (code != EXIT_OK)
        return code;
    struct cmd_db d;
    code = cmd_db_open(&d, config);
    if (code != EXIT_OK)
        return code;
    code = set_password(&d, o, stmt, hash);
    cmd_db_close(&d);
    if (code == EXIT_OK)
        printf("%s %s%s%s\n", stmt == STMT_USER_INSERT ? "Added" : "Changed the password of", o->email, o->from_stdin ? "" : ", password ",
               o->from_stdin ? "" : text);
    return code;
}

static void put_time(struct cmd_table *t, const struct db_rows *rows, int row, int col)
{
    char text[CLOCK_RFC3339_MAX];
    bool null = db_is_null(rows, row, col);
    size_t n = null ? 0 : clock_format(db_time(rows, row, col), text);
    cmd_table_cell(t, str_of(text, n));
}

static void see_users(void *arg, const struct db_rows *rows)
{
    struct cmd_table *t = arg;
    for (int i = 0; i < db_count(rows); i++) {
        char id[24];
        int n = snprintf(id, sizeof id, "%lld", (long long)db_i64(rows, i, 0));
        cmd_table_cell(t, str_of(id, (size_t)n));
        cmd_table_cell(t, db_text(rows, i, 1));
        cmd_table_cell(t, db_bool(rows, i, 2) ? STR("yes") : STR("no"));
        cmd_table_cell(t, db_bool(rows, i, 3) ? STR("yes") : STR("no"));
        put_time(t, rows, i, 4);
        put_time(t, rows, i, 5);
    }
}

static int list(const struct config *config, const struct options *o)
{
    static const char *const columns[] = {"id", "email", "admin", "active", "created_at", "last_login_at"};
    struct cmd_table t = {.columns = columns, .n_columns = ARRAY_LEN(columns)};
    struct cmd_db d;
    struct db_query q;
    int code = cmd_db_open(&d, config);
    if (code != EXIT_OK)
        return code;
    db_query_init(&q, STMT_USER_ALL, NULL);
    int r = db_wait(d.db, &q, see_users, &t);
    cmd_db_close(&d);
    if (r < 0)
        return cmd_fail("%s", err_text(r));
    cmd_table_print(&t, o->json);
    return EXIT_OK;
}

int cmd_user(const struct config *config, int argc, char **argv)
{
    struct options o;
    struct str verb = str_from(argc > 1 ? argv[1] : "");
    if (cmd_wants_help(argc, argv)) {
        puts(usage);
        return EXIT_OK;
    }
    if (!read_options(argc, argv, &o))
        return cmd_usage("user", "an argument is not understood");
    if (str_eq(verb, STR("add")))
        return change(config, &o, STMT_USER_INSERT);
    if (str_eq(verb, STR("passwd")))
        return change(config, &o, STMT_USER_SET_PASSWORD);
    if (str_eq(verb, STR("list")))
        return list(config, &o);
    return cmd_usage("user", "add, passwd or list is expected");
}
