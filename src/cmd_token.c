/* cmd_token.c: `picket token add|list|revoke`. */
#include <inttypes.h>
#include <stdio.h>

#include "cmd.h"
#include "picket/auth/secret.h"
#include "picket/base/clock.h"
#include "picket/base/error.h"

static const char usage[] = "usage: picket token add [--user EMAIL] [--description TEXT] [--json]\n"
                            "       picket token list [--json]\n"
                            "       picket token revoke ID\n\n"
                            "A token is sent as `Authorization: Bearer TOKEN` and may do what its user may. It is printed once: only its hash is stored.\n"
                            "Without --user it belongs to the first administrator.";

struct options {
    const char *argument, *user, *description;
    bool json;
};

static bool read_options(int argc, char **argv, struct options *ret)
{
    *ret = (struct options){0};
    for (int i = 2; i < argc; i++) {
        struct str a = str_from(argv[i]);
        if (str_eq(a, STR("--json")))
            ret->json = true;
        else if (str_eq(a, STR("--user")) && i + 1 < argc)
            ret->user = argv[++i];
        else if (str_eq(a, STR("--description")) && i + 1 < argc)
            ret->description = argv[++i];
        else if (a.n && a.p[0] != '-' && !ret->argument)
            ret->argument = argv[i];
        else
            return false;
    }
    return true;
}

static int ask(const struct config *config, struct db_query *q, void (*seen)(void *, const struct db_rows *), void *arg)
{
    struct cmd_db d;
    int code = cmd_db_open(&d, config);
    if (code != EXIT_OK)
        return code;
    int r = db_wait(d.db, q, seen, arg);
    cmd_db_close(&d);
    return r < 0 ? cmd_fail("%s (%s)", err_text(r), q->sqlstate) : EXIT_OK;
}

static void see_id(void *arg, const struct db_rows *rows)
{
    if (db_count(rows) == 1)
        *(int64_t *)arg = db_i64(rows, 0, 0);
}

static int add(const struct config *config, const struct options *o)
{
    char token[TOKEN_CHARS + 1];
    uint8_t hash[SECRET_HASH_BYTES];
    struct db_query q;
    int64_t id = 0;
    struct str description = str_from(o->description);
    if (description.n > 255 || !str_is_utf8(description))
        return cmd_usage("token", "a description has at most 255 bytes");
    token_new(token);
    secret_hash(str_from(token), hash);
    db_query_init(&q, STMT_TOKEN_INSERT, NULL);
    db_bind_bytes(&q, str_of((const char *)hash, sizeof hash));
    db_bind_text(&q, str_of(token, TOKEN_PREFIX_CHARS));
    if (o->user)
        db_bind_text(&q, str_from(o->user));
    else
        db_bind_null(&q);
    if (o->description)
        db_bind_text(&q, description);
    else
        db_bind_null(&q);
    db_bind_null(&q);
    int code = ask(config, &q, see_id, &id);
    if (code != EXIT_OK)
        return code;
    if (id == 0)
        return cmd_fail("there is no such active user: picket user list shows all");
    if (o->json) {
        static const char *const columns[] = {"token"};
        struct cmd_table t = {.columns = columns, .n_columns = 1};
        cmd_table_cell(&t, str_from(token));
        cmd_table_print(&t, true);
    } else {
        printf("%s\n", token);
    }
    return EXIT_OK;
}

static void put_time(struct cmd_table *t, const struct db_rows *rows, int row, int col)
{
    char text[CLOCK_RFC3339_MAX];
    size_t n = db_is_null(rows, row, col) ? 0 : clock_format(db_time(rows, row, col), text);
    cmd_table_cell(t, str_of(text, n));
}

static void see_tokens(void *arg, const struct db_rows *rows)
{
    struct cmd_table *t = arg;
    for (int i = 0; i < db_count(rows); i++) {
        AUTO_BUF struct buf text = {0};
        buf_printf(&text, "%" PRId64, db_i64(rows, i, 0));
        cmd_table_cell(t, buf_str(&text));
        cmd_table_cell(t, db_text(rows, i, 1));
        cmd_table_cell(t, db_text(rows, i, 2));
        cmd_table_cell(t, db_text(rows, i, 3));
        put_time(t, rows, i, 4);
        put_time(t, rows, i, 5);
        put_time(t, rows, i, 6);
    }
}

static int list(const struct config *config, const struct options *o)
{
    static const char *const columns[] = {"id", "prefix", "user", "description", "created_at", "last_used_at", "expires_at"};
    struct cmd_table t = {.columns = columns, .n_columns = ARRAY_LEN(columns)};
    struct db_query q;
    db_query_init(&q, STMT_TOKEN_ALL, NULL);
    int code = ask(config, &q, see_tokens, &t);
    if (code == EXIT_OK)
        cmd_table_print(&t, o->json);
    return code;
}

static int revoke_token(const struct config *config, const struct options *o)
{
    struct db_query q;
    int64_t gone = 0;
    uint64_t id;
    if (!str_to_u64(str_from(o->argument), &id) || id > INT32_MAX)
        return cmd_usage("token", "the token's number is expected: picket token list shows it");
    db_query_init(&q, STMT_TOKEN_REVOKE, NULL);
    db_bind_i32(&q, (int32_t)id);
    int code = ask(config, &q, see_id, &gone);
    if (code == EXIT_OK && gone == 0)
        return cmd_fail("there is no token %" PRIu64 ": picket token list shows all", id);
    if (code == EXIT_OK)
        printf("Revoked token %" PRIu64 ".\n", id);
    return code;
}

int cmd_token(const struct config *config, int argc, char **argv)
{
    struct options o;
    struct str verb = str_from(argc > 1 ? argv[1] : "");
    if (cmd_wants_help(argc, argv)) {
        puts(usage);
        return EXIT_OK;
    }
    if (!read_options(argc, argv, &o))
        return cmd_usage("token", "an argument is not understood");
    if (str_eq(verb, STR("add")))
        return add(config, &o);
    if (str_eq(verb, STR("list")))
        return list(config, &o);
    if (str_eq(verb, STR("revoke")))
        return revoke_token(config, &o);
    return cmd_usage("token", "add, list or revoke is expected");
}
