/* cmd_project.c: `picket project add|list|rotate-key`. */
#include <inttypes.h>
#include <stdio.h>

#include "cmd.h"
#include "picket/api/slug.h"
#include "picket/base/error.h"
#include "picket/protocol/dsn.h"

static const char usage[] = "usage: picket project add NAME [--slug SLUG]\n"
                            "       picket project list [--json]\n"
                            "       picket project rotate-key ID\n\n"
                            "Prints DSNs. After rotate-key the project's old keys are refused.";

struct options {
    const char *argument, *slug;
    bool json;
};

static bool read_options(int argc, char **argv, struct options *ret)
{
    *ret = (struct options){0};
    for (int i = 2; i < argc; i++) {
        struct str a = str_from(argv[i]);
        if (str_eq(a, STR("--json")))
            ret->json = true;
        else if (str_eq(a, STR("--slug")) && i + 1 < argc)
            ret->slug = argv[++i];
        else if (a.n && a.p[0] != '-' && !ret->argument)
            ret->argument = argv[i];
        else
            return false;
    }
    return true;
}

static void put_project(struct cmd_table *t, const struct config *config, int64_t id, struct str name, struct str slug, const struct id128 *key)
{
    AUTO_BUF struct buf text = {0};
    buf_printf(&text, "%" PRId64, id);
    cmd_table_cell(t, buf_str(&text));
    cmd_table_cell(t, name);
    cmd_table_cell(t, slug);
    buf_clear(&text);
    if (!id_is_nil(key) && dsn_format(&text, str_from(config->public_url), key, (uint64_t)id) < 0)
        buf_clear(&text);
    cmd_table_cell(t, buf_str(&text));
}

struct seen {
    struct cmd_table *table;
    const struct config *config;
    int n;
};

static void see_projects(void *arg, const struct db_rows *rows)
{
    struct seen *s = arg;
    s->n = db_count(rows);
    for (int i = 0; i < s->n; i++) {
        struct id128 key = db_is_null(rows, i, 3) ? (struct id128){0} : db_id(rows, i, 3);
        put_project(s->table, s->config, db_i64(rows, i, 0), db_text(rows, i, 1), db_text(rows, i, 2), &key);
    }
}

static void see_rotated(void *arg, const struct db_rows *rows)
{
    struct seen *s = arg;
    s->n = db_count(rows);
    for (int i = 0; i < s->n; i++) {
        struct id128 key = db_id(rows, i, 1);
        AUTO_BUF struct buf dsn = {0};
        if (dsn_format(&dsn, str_from(s->config->public_url), &key, (uint64_t)db_i64(rows, i, 0)) == 0)
            printf("%s\n", buf_cstr(&dsn));
    }
}

static int ask(const struct config *config, struct db_query *q, void (*seen)(void *, const struct db_rows *), struct seen *s)
{
    struct cmd_db d;
    int code = cmd_db_open(&d, config);
    if (code != EXIT_OK)
        return code;
    int r = db_wait(d.db, q, seen, s);
    cmd_db_close(&d);
    if (r == -ERR_DB_CONFLICT)
        return cmd_fail("there is a project of that name already: picket project list shows all");
    return r < 0 ? cmd_fail("%s (%s)", err_text(r), q->sqlstate) : EXIT_OK;
}

static const char *const columns[] = {"id", "name", "slug", "dsn"};

static int list(const struct config *config, const struct options *o)
{
    struct cmd_table t = {.columns = columns, .n_columns = ARRAY_LEN(columns)};
    struct seen s = {.table = &t, .config = config};
    struct db_query q;
    db_query_init(&q, STMT_PROJECT_ALL, NULL);
    int code = ask(config, &q, see_projects, &s);
    if (code == EXIT_OK)
        cmd_table_print(&t, o->json);
    return code;
}

static int add(const struct config *config, const struct options *o)
{
    struct cmd_table t = {.columns = columns, .n_columns = ARRAY_LEN(columns)};
    struct seen s = {.table = &t, .config = config};
    struct db_query q;
    AUTO_BUF struct buf slug = {0};
    struct id128 key;
    struct str name = str_trim(str_from(o->argument));
    if (name.n == 0 || name.n > 255 || !str_is_utf8(name))
        return cmd_usage("project", "a project's name has 1 to 255 bytes");
    if (slug_make(&slug, o->slug ? str_from(o->slug) : name) < 0)
        return cmd_fail("no slug can be made of '%s': give one with --slug", o->slug ? o->slug : o->argument);
    key = id_random(); /* shown as a UUID (contract §1.6) */
    db_query_init(&q, STMT_PROJECT_INSERT, NULL);
    db_bind_text(&q, name);
    db_bind_text(&q, buf_str(&slug));
    db_bind_id(&q, &key);
    int code = ask(config, &q, see_projects, &s);
    if (code == EXIT_OK)
        cmd_table_print(&t, o->json);
    return code;
}

static int rotate(const struct config *config, const struct options *o)
{
    struct seen s = {.config = config};
    struct db_query q;
    struct id128 key;
    uint64_t id;
    if (!str_to_u64(str_from(o->argument), &id) || id > INT32_MAX)
        return cmd_usage("project", "the project's number is expected");
    key = id_random(); /* shown as a UUID (contract §1.6) */
    db_query_init(&q, STMT_KEY_ROTATE, NULL);
    db_bind_i32(&q, (int32_t)id);
    db_bind_id(&q, &key);
    int code = ask(config, &q, see_rotated, &s);
    if (code == EXIT_OK && s.n == 0)
        return cmd_fail("there is no project %" PRIu64 ": picket project list shows all", id);
    return code;
}

int cmd_project(const struct config *config, int argc, char **argv)
{
    struct options o;
    struct str verb = str_from(argc > 1 ? argv[1] : "");
    if (cmd_wants_help(argc, argv)) {
        puts(usage);
        return EXIT_OK;
    }
    if (!read_options(argc, argv, &o))
        return cmd_usage("project", "an argument is not understood");
    if (str_eq(verb, STR("add")))
        return add(config, &o);
    if (str_eq(verb, STR("list")))
        return list(config, &o);
    if (str_eq(verb, STR("rotate-key")))
        return rotate(config, &o);
    return cmd_usage("project", "add, list or rotate-key is expected");
}
