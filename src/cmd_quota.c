/* cmd_quota.c: `picket quota list|set`: the limits of src/ingest/quota.c, of the installation, a project or a key. */
#include <inttypes.h>
#include <stdio.h>

#include "cmd.h"
#include "picket/base/error.h"
#include "picket/ingest/quota.h"

static const char usage[] =
    "usage: picket quota list [--json]\n"
    "       picket quota set CATEGORY [--project ID | --key ID] [--minute N] [--hour N] [--unset] [--json]\n\n"
    "How much a project, a key or, without either, the whole installation may bring in any minute and in any hour; beyond it\n"
    "SDKs get 429 and stop for a while. 0 is no limit. CATEGORY is what X-Sentry-Rate-Limits calls it: error (events of every kind),\n"
    "session, feedback, monitor, attachment (in bytes), attachment_item (in number). What is not given stays as it was; --unset\n"
    "takes back all that was said of the category: then MAX_EVENTS_PER_MINUTE and its kin count. A running server knows at once.\n"
    "list shows what was set, and `picket project list` and GET /api/projects/ID/keys have the ids.";

static const char *const columns[] = {"scope", "id", "category", "per_minute", "per_hour"};

struct sight {
    struct cmd_table table;
    int n;
};

static void put_limit(struct cmd_table *t, const struct db_rows *rows, int row, int col)
{
    if (db_is_null(rows, row, col))
        cmd_table_text(t, (struct str){0});
    else
        cmd_table_number(t, db_i64(rows, row, col));
}

/* Columns as the statement quota_limits has them. */
static void see(void *arg, const struct db_rows *rows)
{
    static const char *const scopes[QUOTA_SCOPES] = {"installation", "project", "key"};
    struct sight *s = arg;
    s->n = db_count(rows);
    for (int i = 0; i < s->n; i++) {
        int64_t scope = db_i64(rows, i, 0);
        cmd_table_text(&s->table, str_from(scope >= 0 && scope < QUOTA_SCOPES ? scopes[scope] : "unknown"));
        cmd_table_number(&s->table, db_i64(rows, i, 1));
        cmd_table_text(&s->table, db_text(rows, i, 2));
        put_limit(&s->table, rows, i, 3);
        put_limit(&s->table, rows, i, 4);
    }
}

static int list(const struct config *config, int argc, char **argv)
{
    bool json = false;
    const struct cmd_option options[] = {{"--json", &json, NULL}};
    const struct cmd_line line = {.command = "quota", .usage = usage, .options = options, .n_options = ARRAY_LEN(options)};
    struct sight s = {.table = {.columns = columns, .n_columns = ARRAY_LEN(columns)}};
    struct db_query q;
    int code;
    if (!cmd_read(&line, argc, argv, &code))
        return code;
    db_query_init(&q, STMT_QUOTA_LIMITS, NULL);
    code = cmd_db_ask(config, &q, see, &s, NULL);
    if (code == EXIT_OK)
        cmd_table_print(&s.table, json);
    return code;
}

static bool bind_limit(struct db_query *q, const char *option, const char *text, int *ret_code)
{
    int64_t v;
    if (!text) {
        db_bind_null(q);
        return true;
    }
    if (!str_to_i64(str_from(text), &v) || v < 0 || v > QUOTA_MAX) {
        *ret_code = cmd_usage("quota", "%s: a whole number is expected, 0 for no limit, not '%s'", option, text);
        return false;
    }
    db_bind_i64(q, v);
    return true;
}

static bool read_scope(const char *project, const char *key, enum quota_scope *ret_scope, int64_t *ret_id, int *ret_code)
{
    const char *text = project ? project : key;
    *ret_scope = project ? QUOTA_PROJECT : key ? QUOTA_KEY : QUOTA_INSTALLATION;
    *ret_id = 0;
    if ((project && key) || (text && (!str_to_i64(str_from(text), ret_id) || *ret_id < 1))) {
        *ret_code = cmd_usage("quota", "--project or --key and its number are expected, or none of them");
        return false;
    }
    return true;
}

static int refuse_category(const char *name)
{
    AUTO_BUF struct buf known = {0};
    quota_put_categories(&known);
    return cmd_usage("quota", "'%s' is no category that can be limited: %.*s are", name, STR_ARG(buf_str(&known)));
}

static int set(const struct config *config, int argc, char **argv)
{
    bool json = false, unset = false;
    const char *argument = NULL, *project = NULL, *key = NULL, *minute = NULL, *hour = NULL;
    const struct cmd_option options[] = {{"--json", &json, NULL}, {"--unset", &unset, NULL},   {"--project", NULL, &project},
                                         {"--key", NULL, &key},   {"--minute", NULL, &minute}, {"--hour", NULL, &hour}};
    const struct cmd_line line = {"quota", usage, options, ARRAY_LEN(options), &argument, 1};
    struct sight s = {.table = {.columns = columns, .n_columns = ARRAY_LEN(columns)}};
    enum quota_scope scope;
    int64_t id;
    int code;
    if (!cmd_read(&line, argc, argv, &code) || !read_scope(project, key, &scope, &id, &code))
        return code;
    int category = category_of(str_from(argument));
    if (category < 0 || (!unset && !quota_can_limit((enum category)category)))
        return refuse_category(argument);
    struct db_query q;
    db_query_init(&q, STMT_QUOTA_SET, NULL);
    db_bind_i64(&q, scope);
    db_bind_i64(&q, id);
    db_bind_text(&q, category_name(category));
    if (!bind_limit(&q, "--minute", minute, &code) || !bind_limit(&q, "--hour", hour, &code))
        return code;
    db_bind_bool(&q, unset);
    code = cmd_db_ask(config, &q, see, &s, NULL);
    if (code == EXIT_OK && s.n == 0)
        return cmd_fail("there is no %s %" PRId64 ": picket quota --help says where the numbers are", project ? "project" : "key", id);
    if (code == EXIT_OK)
        cmd_table_print(&s.table, json);
    return code;
}

int cmd_quota(const struct config *config, int argc, char **argv)
{
    static const struct cmd_verb verbs[] = {{"list", list}, {"set", set}};
    return cmd_verbs("quota", usage, verbs, ARRAY_LEN(verbs), config, argc, argv);
}
