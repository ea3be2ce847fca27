/* cmd_token.c: `picket token add|list|revoke`. */
#include <inttypes.h>
#include <stdio.h>

#include "cmd.h"
#include "picket/auth/scope.h"
#include "picket/auth/secret.h"
#include "picket/base/error.h"

enum { DESCRIPTION_MAX_CHARS = 255 }; /* contract §1.14 R19 */

static const char usage[] =
    "usage: picket token add [--user EMAIL] [--description TEXT] [--scope NAME,…] [--project ID,…] [--json]\n"
    "       picket token list [--json]\n"
    "       picket token revoke ID\n\n"
    "A token is sent as `Authorization: Bearer TOKEN` and may do what its user may, cut by --scope (event:read, project:*, …) and kept to "
    "the projects\n"
    "of --project. It is printed once: only its hash is stored. Without --user it belongs to the first administrator.";

static void see_id(void *arg, const struct db_rows *rows)
{
    if (db_count(rows) > 0)
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

struct wish {
    const char *user, *description, *scopes, *projects; /* as given, or NULL */
    struct buf scope_array, project_array;              /* as PostgreSQL reads them; empty: all */
    bool as_json;
};
struct made {
    int64_t user, missing, id; /* 0: null */
};

/* True: go on. */
static bool read_scopes(struct wish *wish, int *ret_code)
{
    uint32_t scopes = 0;
    for (struct str rest = str_from(wish->scopes); rest.p;) {
        struct str word = str_trim(str_cut(&rest, ','));
        uint32_t bits = scope_parse(word);
        if (bits == 0) {
            AUTO_BUF struct buf known = {0};
            scopes_format(~UINT32_C(0), ", ", &known);
            *ret_code = cmd_usage("token", "there is no scope '%.*s': %s, and project:*, event:*, alert:* are there", STR_ARG(word),
                                  buf_cstr(&known));
            return false;
        }
        scopes |= bits;
    }
    if (!wish->scopes)
        return true;
    buf_append_str(&wish->scope_array, STR("{"));
    scopes_format(scopes, ",", &wish->scope_array);
    buf_append_str(&wish->scope_array, STR("}"));
    return true;
}

static void see_made(void *arg, const struct db_rows *rows)
{
    int64_t *values[] = {&((struct made *)arg)->user, &((struct made *)arg)->missing, &((struct made *)arg)->id};
    for (int i = 0; i < (int)ARRAY_LEN(values); i++)
        *values[i] = db_is_null(rows, 0, i) ? 0 : db_i64(rows, 0, i);
}

static int explain(const struct wish *wish, const struct made *made)
{
    if (made->missing)
        return cmd_fail("there is no project %" PRId64 ": picket project list shows all", made->missing);
    if (wish->user)
        return cmd_fail("there is no active user %s: picket user list shows all", wish->user);
    return cmd_fail("there is no administrator to own the token: picket user add EMAIL --role owner makes one, or name a user with --user");
}

static int make(const struct config *config, struct wish *wish)
{
    char token[TOKEN_CHARS + 1];
    uint8_t hash[SECRET_HASH_BYTES];
    struct db_query q;
    struct made made = {0};
    token_new(token);
    secret_hash(str_from(token), hash);
    db_query_init(&q, STMT_TOKEN_INSERT, NULL);
    db_bind_bytes(&q, str_of((const char *)hash, sizeof hash));
    db_bind_text(&q, str_of(token, TOKEN_PREFIX_CHARS));
    bind_optional(&q, wish->user);
    bind_optional(&q, wish->description);
    db_bind_null(&q); /* never ends */
    bind_optional(&q, wish->scopes ? buf_cstr(&wish->scope_array) : NULL);
    bind_optional(&q, wish->projects ? buf_cstr(&wish->project_array) : NULL);
    int code = cmd_db_ask(config, &q, see_made, &made, NULL);
    if (code == EXIT_OK && made.id == 0)
        code = explain(wish, &made);
    else if (code == EXIT_OK)
        print_new(made.id, token, wish->as_json);
    explicit_bzero(token, sizeof token);
    return code;
}

/* True: go on. */
static bool check_texts(const struct wish *wish, int *ret_code)
{
    struct str description = str_from(wish->description);
    if (!str_is_utf8(description) || str_take_code_points(description, DESCRIPTION_MAX_CHARS).n < description.n)
        *ret_code = cmd_usage("token", "a description has at most %d characters of UTF-8", DESCRIPTION_MAX_CHARS);
    else if (!str_is_utf8(str_from(wish->user)))
        *ret_code = cmd_usage("token", "--user needs an e-mail address");
    else
        return true;
    return false;
}

static int add(const struct config *config, int argc, char **argv)
{
    struct wish wish = {0};
    const struct cmd_option options[] = {{"--json", &wish.as_json, NULL},
                                         {"--user", NULL, &wish.user},
                                         {"--description", NULL, &wish.description},
                                         {"--scope", NULL, &wish.scopes},
                                         {"--project", NULL, &wish.projects}};
    const struct cmd_line line = {.command = "token", .usage = usage, .options = options, .n_options = ARRAY_LEN(options)};
    int code;
    if (!cmd_read(&line, argc, argv, &code))
        return code;
    if (check_texts(&wish, &code) && read_scopes(&wish, &code) && cmd_read_projects("token", wish.projects, &wish.project_array, &code))
        code = make(config, &wish);
    buf_done(&wish.scope_array);
    buf_done(&wish.project_array);
    return code;
}

/* Columns: id, prefix, email, description, scopes, projects, created_at, last_used_at, expires_at. */
static void see_tokens(void *arg, const struct db_rows *rows)
{
    struct cmd_table *t = arg;
    for (int i = 0; i < db_count(rows); i++) {
        cmd_table_number(t, db_i64(rows, i, 0));
        for (int col = 1; col <= 5; col++)
            cmd_table_text(t, db_text(rows, i, col));
        for (int col = 6; col <= 8; col++)
            cmd_table_time(t, rows, i, col);
    }
}

static int list(const struct config *config, int argc, char **argv)
{
    static const char *const columns[] = {"id",       "prefix",     "user",         "description", "scopes",
                                          "projects", "created_at", "last_used_at", "expires_at"};
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
