/* cmd_project.c: `picket project add|list|rotate-key|set`. */
#include <inttypes.h>
#include <stdio.h>

#include "cmd.h"
#include "picket/api/slug.h"
#include "picket/base/error.h"
#include "picket/protocol/dsn.h"

enum { NAME_MAX_BYTES = 255 }; /* contract §1.11 R8 */

static const char usage[] =
    "usage: picket project add NAME [--slug SLUG] [--json]\n"
    "       picket project list [--json]\n"
    "       picket project rotate-key ID\n"
    "       picket project set ID [--retention-days N] [--retention-events-per-issue N] [--retention-bytes N] [--json]\n\n"
    "Prints DSNs. After rotate-key the project's old keys are refused. set changes how long and how many of a project's\n"
    "events are kept; 0 means what RETENTION_DAYS and RETENTION_EVENTS_PER_ISSUE say, and no bound of bytes.";

static const char *const columns[] = {"id", "name", "slug", "dsn"};

struct sight {
    struct buf url; /* what DSNs begin with */
    struct cmd_table table;
    int n;
};

static void put_dsn(struct sight *s, int64_t id, const struct id128 *key)
{
    AUTO_BUF struct buf dsn = {0};
    if (dsn_format(&dsn, buf_str(&s->url), key, (uint64_t)id) < 0)
        buf_clear(&dsn); /* config_read, the server's or ours, has seen to it that PUBLIC_URL is one */
    cmd_table_text(&s->table, buf_str(&dsn));
}

/* Columns: id, name, slug, public_key, … */
static void see_projects(void *arg, const struct db_rows *rows)
{
    struct sight *s = arg;
    for (int i = 0; i < db_count(rows); i++) {
        int64_t id = db_i64(rows, i, 0);
        cmd_table_number(&s->table, id);
        cmd_table_text(&s->table, db_text(rows, i, 1));
        cmd_table_text(&s->table, db_text(rows, i, 2));
        if (db_is_null(rows, i, 3)) {
            cmd_table_text(&s->table, (struct str){0});
        } else {
            struct id128 key = db_id(rows, i, 3);
            put_dsn(s, id, &key);
        }
    }
}

/* cmd_db_ask() for answers that have DSNs. */
static int ask(const struct config *config, struct db_query *q, void (*seen)(void *arg, const struct db_rows *rows), struct sight *s,
               const char *conflict)
{
    struct cmd_db d;
    int code = cmd_db_open(&d, config);
    if (code != EXIT_OK)
        return code;
    code = cmd_public_url(&d, config, &s->url);
    if (code == EXIT_OK)
        code = cmd_db_run(&d, q, seen, s, conflict);
    cmd_db_close(&d);
    buf_done(&s->url);
    return code;
}

static int show(const struct config *config, struct db_query *q, bool as_json)
{
    struct sight s = {.table = {.columns = columns, .n_columns = ARRAY_LEN(columns)}};
    int code = ask(config, q, see_projects, &s, "there is a project of that name already: picket project list shows all");
    if (code == EXIT_OK)
        cmd_table_print(&s.table, as_json);
    return code;
}

static int list(const struct config *config, int argc, char **argv)
{
    bool json = false;
    const struct cmd_option options[] = {{"--json", &json, NULL}};
    const struct cmd_line line = {.command = "project", .usage = usage, .options = options, .n_options = ARRAY_LEN(options)};
    int code;
    if (!cmd_read(&line, argc, argv, &code))
        return code;
    struct db_query q;
    db_query_init(&q, STMT_PROJECT_ALL, NULL);
    return show(config, &q, json);
}

static int add(const struct config *config, int argc, char **argv)
{
    bool json = false;
    const char *wanted = NULL, *argument = NULL;
    const struct cmd_option options[] = {{"--json", &json, NULL}, {"--slug", NULL, &wanted}};
    const struct cmd_line line = {"project", usage, options, ARRAY_LEN(options), &argument, 1};
    int code;
    if (!cmd_read(&line, argc, argv, &code))
        return code;
    struct str name = str_trim(str_from(argument)), slug_of = str_trim(str_from(wanted));
    if (name.n == 0 || name.n > NAME_MAX_BYTES || !str_is_utf8(name))
        return cmd_usage("project", "a name is expected: 1 to %d bytes of UTF-8", NAME_MAX_BYTES);
    if (slug_of.n == 0)
        slug_of = name;
    AUTO_BUF struct buf slug = {0};
    if (slug_make(&slug, slug_of) < 0)
        return cmd_usage("project", "no slug can be made of '%.*s', which has no Latin letter or digit: give one with --slug",
                         STR_ARG(slug_of));
    struct id128 key = id_random(); /* a UUID that dashboards accept (contract §7.2) */
    struct db_query q;
    db_query_init(&q, STMT_PROJECT_INSERT, NULL);
    db_bind_text(&q, name);
    db_bind_text(&q, buf_str(&slug));
    db_bind_id(&q, &key);
    db_bind_null(&q);
    db_bind_null(&q); /* by nobody known */
    db_bind_null(&q); /* platform */
    return show(config, &q, json);
}

static void see_rotated(void *arg, const struct db_rows *rows)
{
    struct sight *s = arg;
    s->n = db_count(rows);
    for (int i = 0; i < s->n; i++) {
        struct id128 key = db_id(rows, i, 1);
        AUTO_BUF struct buf dsn = {0};
        if (dsn_format(&dsn, buf_str(&s->url), &key, (uint64_t)db_i64(rows, i, 0)) == 0)
            puts(buf_cstr(&dsn));
    }
}

static int rotate_key(const struct config *config, int argc, char **argv)
{
    const char *argument = NULL;
    const struct cmd_line line = {.command = "project", .usage = usage, .arguments = &argument, .arguments_max = 1};
    struct sight s = {0};
    uint64_t id;
    int code;
    if (!cmd_read(&line, argc, argv, &code))
        return code;
    if (!str_to_u64(str_from(argument), &id) || id > INT32_MAX)
        return cmd_usage("project", "a project's number is expected: picket project list shows it");
    struct id128 key = id_random();
    struct db_query q;
    db_query_init(&q, STMT_KEY_ROTATE, NULL);
    db_bind_i32(&q, (int32_t)id);
    db_bind_id(&q, &key);
    code = ask(config, &q, see_rotated, &s, NULL);
    if (code == EXIT_OK && s.n == 0)
        return cmd_fail("there is no project %" PRIu64 ": picket project list shows all", id);
    return code;
}

/* A number of an option into a nullable parameter. */
static bool bind_number(struct db_query *q, const char *option, const char *text, int64_t max, int *ret_code)
{
    int64_t v;
    if (!text) {
        db_bind_null(q);
        return true;
    }
    if (!str_to_i64(str_from(text), &v) || v < 0 || v > max) {
        *ret_code = cmd_usage("project", "%s: a number from 0 to %" PRId64 " is expected, not '%s'", option, max, text);
        return false;
    }
    db_bind_i64(q, v);
    return true;
}

static void see_rules(void *arg, const struct db_rows *rows)
{
    struct sight *s = arg;
    s->n = db_count(rows);
    for (int i = 0; i < s->n; i++) {
        for (int col = 0; col < 3; col++) {
            if (db_is_null(rows, i, col))
                cmd_table_text(&s->table, (struct str){0});
            else
                cmd_table_number(&s->table, db_i64(rows, i, col));
        }
    }
}

static int set(const struct config *config, int argc, char **argv)
{
    static const char *const rules[] = {"retention_days", "retention_events_per_issue", "retention_bytes"};
    bool json = false;
    const char *argument = NULL, *days = NULL, *events = NULL, *bytes = NULL;
    const struct cmd_option options[] = {{"--json", &json, NULL},
                                         {"--retention-days", NULL, &days},
                                         {"--retention-events-per-issue", NULL, &events},
                                         {"--retention-bytes", NULL, &bytes}};
    const struct cmd_line line = {"project", usage, options, ARRAY_LEN(options), &argument, 1};
    struct sight s = {.table = {.columns = rules, .n_columns = ARRAY_LEN(rules)}};
    uint64_t id;
    int code;
    if (!cmd_read(&line, argc, argv, &code))
        return code;
    if (!str_to_u64(str_from(argument), &id) || id > INT32_MAX)
        return cmd_usage("project", "a project's number is expected: picket project list shows it");
    struct db_query q;
    db_query_init(&q, STMT_PROJECT_SET_RETENTION, NULL);
    db_bind_i64(&q, (int64_t)id);
    if (!bind_number(&q, "--retention-days", days, 36500, &code) ||
        !bind_number(&q, "--retention-events-per-issue", events, INT32_MAX, &code) ||
        !bind_number(&q, "--retention-bytes", bytes, INT64_MAX, &code))
        return code;
    code = cmd_db_ask(config, &q, see_rules, &s, NULL);
    if (code == EXIT_OK && s.n == 0)
        return cmd_fail("there is no project %" PRIu64 ": picket project list shows all", id);
    if (code == EXIT_OK)
        cmd_table_print(&s.table, json);
    return code;
}

int cmd_project(const struct config *config, int argc, char **argv)
{
    static const struct cmd_verb verbs[] = {{"add", add}, {"list", list}, {"rotate-key", rotate_key}, {"set", set}};
    return cmd_verbs("project", usage, verbs, ARRAY_LEN(verbs), config, argc, argv);
}
