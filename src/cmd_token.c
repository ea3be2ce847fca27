/* cmd_token.c: `picket token add|list|revoke`. */
#include <inttypes.h>
#include <stdio.h>

#include "cmd.h"
#include "picket/auth/secret.h"
#include "picket/base/error.h"

enum { DESCRIPTION_MAX_CHARS = 255 }; /* contract §1.14 R19 */

static const char usage[] =
    "usage: picket token add [--user EMAIL] [--description TEXT] [--json]\n"
    "       picket token list [--json]\n"
    "       picket token revoke ID\n\n"
    "A token is sent as `Authorization: Bearer TOKEN` and may do what its user may. It is printed once: only its hash is stored.\n"
    "Without --user it belongs to the first administrator.";

static void see_id(void *arg, const struct db_rows *rows)
{
    if (db_count(rows) == 1)
        *(int64_t *)arg = db_i64(rows, 0, 0);
}

static void bind_optional(struct db_query *q, const char *text)
{
    if (text)
        db_bind_text(q, str_from(text));
    else
        db_bind_null(q);
}

static void print_new(int64_t id, const char *token, bool as_json)
{
    static const char *const columns[] = {"id", "token"};
    struct cmd_table t = {.columns = columns, .n_columns = ARRAY_LEN(columns)};
    if (!as_json) {
        puts(token); /* alone, for scripts */
        return;
    }
    cmd_table_number(&t, id);
    cmd_table_text(&t, str_from(token));
    cmd_table_print(&t, true);
}

static int make(const struct config *config, const char *user, const char *description, bool as_json)
{
    char token[TOKEN_CHARS + 1];
    uint8_t hash[SECRET_HASH_BYTES];
    struct db_query q;
    int64_t id = 0;
    token_new(token);
    secret_hash(str_from(token), hash);
    db_query_init(&q, STMT_TOKEN_INSERT, NULL);
    db_bind_bytes(&q, str_of((const char *)hash, sizeof hash));
    db_bind_text(&q, str_of(token, TOKEN_PREFIX_CHARS));
    bind_optional(&q, user);
    bind_optional(&q, description);
    db_bind_null(&q); /* never ends */
    int code = cmd_db_ask(config, &q, see_id, &id, NULL);
    if (code == EXIT_OK && id == 0 && user)
        code = cmd_fail("there is no active user %s: picket user list shows all", user);
    else if (code == EXIT_OK && id == 0)
        code = cmd_fail("there is no administrator to own the token: picket user add EMAIL --admin makes one, or name a user with --user");
    else if (code == EXIT_OK)
        print_new(id, token, as_json);
    explicit_bzero(token, sizeof token);
    return code;
}

static int add(const struct config *config, int argc, char **argv)
{
    bool json = false;
    const char *user = NULL, *description = NULL;
    const struct cmd_option options[] = {{"--json", &json, NULL}, {"--user", NULL, &user}, {"--description", NULL, &description}};
    const struct cmd_line line = {.command = "token", .usage = usage, .options = options, .n_options = ARRAY_LEN(options)};
    int code;
    if (!cmd_read(&line, argc, argv, &code))
        return code;
    struct str text = str_from(description);
    if (!str_is_utf8(text) || str_take_code_points(text, DESCRIPTION_MAX_CHARS).n < text.n)
        return cmd_usage("token", "a description has at most %d characters of UTF-8", DESCRIPTION_MAX_CHARS);
    if (!str_is_utf8(str_from(user)))
        return cmd_usage("token", "--user needs an e-mail address");
    return make(config, user, description, json);
}

/* Columns: id, prefix, email, description, created_at, last_used_at, expires_at. */
static void see_tokens(void *arg, const struct db_rows *rows)
{
    struct cmd_table *t = arg;
    for (int i = 0; i < db_count(rows); i++) {
        cmd_table_number(t, db_i64(rows, i, 0));
        for (int col = 1; col <= 3; col++)
            cmd_table_text(t, db_text(rows, i, col));
        for (int col = 4; col <= 6; col++)
            cmd_table_time(t, rows, i, col);
    }
}

static int list(const struct config *config, int argc, char **argv)
{
    static const char *const columns[] = {"id", "prefix", "user", "description", "created_at", "last_used_at", "expires_at"};
    struct cmd_table t = {.columns = columns, .n_columns = ARRAY_LEN(columns)};
    bool json = false;
    const struct cmd_option options[] = {{"--json", &json, NULL}};
    const struct cmd_line line = {.command = "token", .usage = usage, .options = options, .n_options = ARRAY_LEN(options)};
    struct db_query q;
    int code;
    if (!cmd_read(&line, argc, argv, &code))
        return code;
    db_query_init(&q, STMT_TOKEN_ALL, NULL);
    code = cmd_db_ask(config, &q, see_tokens, &t, NULL);
    if (code == EXIT_OK)
        cmd_table_print(&t, json);
    return code;
}

static int revoke_one(const struct config *config, int argc, char **argv)
{
    const char *argument = NULL;
    const struct cmd_line line = {.command = "token", .usage = usage, .arguments = &argument, .arguments_max = 1};
    struct db_query q;
    int64_t gone = 0;
    uint64_t id;
    int code;
    if (!cmd_read(&line, argc, argv, &code))
        return code;
    if (!str_to_u64(str_from(argument), &id) || id > INT32_MAX)
        return cmd_usage("token", "a token's number is expected: picket token list shows it");
    db_query_init(&q, STMT_TOKEN_REVOKE, NULL);
    db_bind_i32(&q, (int32_t)id);
    code = cmd_db_ask(config, &q, see_id, &gone, NULL);
    if (code == EXIT_OK && gone == 0)
        return cmd_fail("there is no token %" PRIu64 ": picket token list shows all", id);
    if (code == EXIT_OK)
        printf("Revoked token %" PRIu64 ".\n", id);
    return code;
}

int cmd_token(const struct config *config, int argc, char **argv)
{
    static const struct cmd_verb verbs[] = {{"add", add}, {"list", list}, {"revoke", revoke_one}};
    return cmd_verbs("token", usage, verbs, ARRAY_LEN(verbs), config, argc, argv);
}
