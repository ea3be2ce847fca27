/* cmd.c: what the commands share. */
#include "cmd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "picket/base/error.h"
#include "picket/base/log.h"
#include "picket/db/migrate.h"
#include "privileges.h"

enum {
    CLUSTER_START_MS = 60000,
    CLUSTER_STOP_MS = 5000,
    QUERY_MS = 30000,
    PATIENCE_S = 10, /* somebody sits before a command */
    HOUSE_CONNECTIONS =
        16, /* of a server beside those that are settings: keys, their listener, retention, dead letters, what is superusers' */
    COMMAND_CONNECTIONS = 32 /* commands, pg_dump and psql beside it, a second server */
};

static void complain(const char *fmt, va_list args)
{
    fputs("picket: ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
}

int cmd_fail(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    complain(fmt, args);
    va_end(args);
    return EXIT_FAILED;
}

int cmd_usage(const char *command, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    complain(fmt, args);
    va_end(args);
    fprintf(stderr, "Try: picket %s --help\n", command);
    return EXIT_USAGE;
}

/* ---- arguments */

static bool is_help(struct str a)
{
    return str_eq(a, STR("--help")) || str_eq(a, STR("-h"));
}

static const struct cmd_option *find_option(const struct cmd_line *line, struct str name)
{
    for (size_t i = 0; i < line->n_options; i++)
        if (str_eq(name, str_from(line->options[i].name)))
            return &line->options[i];
    return NULL;
}

/* argv[i] as an option. The index of the last argument that it used up, or -1 after telling what is wrong. */
static int read_option(const struct cmd_line *line, int argc, char **argv, int i)
{
    struct str value = str_from(argv[i]), name = str_cut(&value, '=');
    const struct cmd_option *o = find_option(line, name);
    bool has_value = o && o->value && (value.p || i + 1 < argc);
    if (!o)
        (void)cmd_usage(line->command, "there is no option '%s' here", argv[i]);
    else if (o->flag && value.p)
        (void)cmd_usage(line->command, "%s takes no value", o->name);
    else if (o->value && !has_value)
        (void)cmd_usage(line->command, "%s needs a value", o->name);
    if (!o || (o->flag && value.p) || (o->value && !has_value))
        return -1;
    if (o->flag)
        *o->flag = true;
    else if (o->value)
        *o->value = value.p ? value.p : argv[++i];
    return i;
}

bool cmd_read(const struct cmd_line *line, int argc, char **argv, int *ret_code)
{
    size_t n = 0;
    bool options = true;
    *ret_code = EXIT_USAGE;
    for (int i = 1; i < argc; i++) {
        struct str a = str_from(argv[i]);
        if (options && is_help(a)) {
            puts(line->usage);
            *ret_code = EXIT_OK;
            return false;
        }
        if (options && str_eq(a, STR("--"))) {
            options = false;
        } else if (options && a.n > 1 && a.p[0] == '-') {
            i = read_option(line, argc, argv, i);
            if (i < 0)
                return false;
        } else if (n < line->arguments_max) {
            line->arguments[n++] = argv[i];
        } else {
            (void)cmd_usage(line->command, "'%s' is one argument too many", argv[i]);
            return false;
        }
    }
    return true;
}

bool cmd_read_projects(const char *command, const char *list, struct buf *out, int *ret_code)
{
    for (struct str rest = str_from(list); rest.p;) {
        struct str word = str_trim(str_cut(&rest, ','));
        uint64_t id;
        if (!str_to_u64(word, &id) || id < 1 || id > INT32_MAX) {
            *ret_code = cmd_usage(command, "--project needs numbers of projects, with commas between them: picket project list shows all");
            return false;
        }
        buf_printf(out, "%c%" PRIu64, out->n ? ',' : '{', id);
    }
    if (list)
        buf_append_str(out, STR("}"));
    return true;
}

int cmd_verbs(const char *command, const char *usage, const struct cmd_verb *verbs, size_t n_verbs, const struct config *config, int argc,
              char **argv)
{
    struct str verb = str_from(argc > 1 ? argv[1] : "");
    if (is_help(verb)) {
        puts(usage);
        return EXIT_OK;
    }
    for (size_t i = 0; i < n_verbs; i++)
        if (str_eq(verb, str_from(verbs[i].name)))
            return verbs[i].run(config, argc - 1, argv + 1);
    AUTO_BUF struct buf names = {0};
    for (size_t i = 0; i < n_verbs; i++)
        buf_printf(&names, "%s%s", i == 0 ? "" : i + 1 < n_verbs ? ", " : " or ", verbs[i].name);
    if (verb.n)
        return cmd_usage(command, "'%s' is not understood: %s is expected", argv[1], buf_cstr(&names));
    return cmd_usage(command, "%s is expected", buf_cstr(&names));
}

/* ---- the database */

/* Directories to the user who runs everything, then that user, then a look at whether the directories can really be used. */
static int become_user(const struct config *config, const char *data_dir)
{
    const char *why = "";
    enum privileges_start started = privileges_started();
    int r = data_dir ? privileges_prepare_dir(data_dir, started, &why) : 0;
    if (r == 0)
        r = privileges_drop(config->core_dumps ? CORES_ALLOWED : CORES_NEVER, &why);
    if (r == 0 && data_dir)
        r = privileges_prepare_dir(data_dir, started, &why);
    if (r < 0)
        return cmd_fail("%s%s%s (%s)", data_dir ? data_dir : "", data_dir ? ": " : "", why, err_text(r));
    return EXIT_OK;
}

static struct db_cluster_config cluster_config(const struct config *config)
{
    return (struct db_cluster_config){.dir = config->cluster_dir,
                                      .bin_dir = config->postgres_bin_dir,
                                      .start_ms = CLUSTER_START_MS,
                                      .connections = (unsigned)(config->database_max_connections + config->digest_workers) +
                                                     HOUSE_CONNECTIONS + COMMAND_CONNECTIONS,
                                      .stop_ms = CLUSTER_STOP_MS};
}

static int start_cluster(const struct config *config, struct db_cluster **ret)
{
    const char *why = "";
    struct db_cluster_config cluster = cluster_config(config);
    int r = db_cluster_start(&cluster, ret, &why);
    return r < 0 ? cmd_fail("%s (%s; in %s)", why, err_text(r), config->cluster_dir) : EXIT_OK;
}

int cmd_cluster_try(const struct config *config, unsigned wait_ms, struct db_cluster **ret_cluster, bool *ret_answers)
{
    const char *why = "";
    char text[512], path[512];
    struct db_cluster_config cluster = cluster_config(config);
    int r = db_cluster_open(&cluster, ret_cluster, &why);
    if (r < 0)
        return cmd_fail("%s (%s; in %s)", why, err_text(r), config->cluster_dir);
    r = db_cluster_restart(*ret_cluster, wait_ms, &why);
    *ret_answers = r == 0;
    if (r < 0)
        log_line(LOG_ERROR, "the private PostgreSQL does not start: it is tried again, events are spooled meanwhile",
                 "error=%s reason=%s log=%s", err_name(r), log_quote(str_from(why), text, sizeof text),
                 log_quote(str_from(db_cluster_log(*ret_cluster)), path, sizeof path));
    return EXIT_OK;
}

int cmd_explain_migration(int r, const struct db_migration_report *report)
{
    if (report->failed)
        return cmd_fail("migration %d failed and was rolled back: %s %s", report->failed, report->sqlstate, report->message);
    if (r == -ERR_DB_AWAY)
        return cmd_fail("the database does not answer: %s. Look at DATABASE_URL, and whether PostgreSQL runs", report->message);
    if (r == -ERR_DB_BUSY)
        return cmd_fail("the schema cannot be looked at: %s. Is another Picket migrating it?", report->message);
    if (r == -EINVAL) { /* not repeated: there may be a password in it */
        (void)cmd_fail("DATABASE_URL: %s", report->message);
        return EXIT_USAGE;
    }
    return cmd_fail("the schema cannot be brought up to date: %s %s", report->sqlstate, report->message);
}

bool cmd_has_database(const struct config *config)
{
    AUTO_BUF struct buf path = {0};
    buf_printf(&path, "%s/data/PG_VERSION", config->cluster_dir);
    return config->database_url || access(buf_cstr(&path), F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

int cmd_database_find(const struct config *config, enum cmd_cluster cluster, struct db_cluster **ret_cluster, const char **ret_conninfo)
{
    *ret_cluster = NULL;
    *ret_conninfo = config->database_url;
    if (cluster == CLUSTER_MUST_EXIST && !cmd_has_database(config))
        return cmd_fail(
            "there is no Picket data in %s%s: if the server was started with another DATA_DIR or with DATABASE_URL, set the same "
            "here; else start it first with `picket serve`",
            config->data_dir, config->data_dir_is_set ? "" : " (DATA_DIR is not set)");
    int code = become_user(config, config->database_url ? NULL : config->data_dir);
    if (code != EXIT_OK || config->database_url)
        return code;
    code = start_cluster(config, ret_cluster);
    if (code == EXIT_OK)
        *ret_conninfo = db_cluster_conninfo(*ret_cluster);
    return code;
}

int cmd_migrate_schema(uv_loop_t *loop, struct db_config *db, unsigned wait_s, struct db_progress *progress,
                       struct db_migration_report *ret)
{
    char why[300];
    int r = db_migrate_for(loop, db, 0, progress, ret);
    if ((r != -ERR_DB_AWAY && r != -ERR_DB_BUSY) || wait_s == 0)
        return r;
    log_line(LOG_WARN, "waiting for the database", "seconds=%u reason=%s", wait_s, log_quote(str_from(ret->message), why, sizeof why));
    return db_migrate_for(loop, db, wait_s * 1000, progress, ret);
}

int cmd_database_start(const struct config *config, enum cmd_cluster cluster, uv_loop_t *loop, unsigned wait_s,
                       struct db_cluster **ret_cluster, struct db_config *db, struct db_progress *progress)
{
    int code = cmd_database_find(config, cluster, ret_cluster, &db->conninfo);
    if (code != EXIT_OK)
        return code;
    struct db_migration_report report;
    int r = cmd_migrate_schema(loop, db, wait_s, progress, &report);
    return r < 0 ? cmd_explain_migration(r, &report) : EXIT_OK;
}

int cmd_db_open(struct cmd_db *d, const struct config *config)
{
    return cmd_db_open_for(d, config, QUERY_MS);
}

int cmd_db_open_for(struct cmd_db *d, const struct config *config, unsigned query_ms)
{
    *d = (struct cmd_db){0};
    int r = uv_loop_init(&d->loop);
    if (r < 0)
        return cmd_fail("cannot make an event loop: %s", uv_strerror(r));
    d->opened = true;
    unsigned wait_s = config->database_wait_s < PATIENCE_S ? (unsigned)config->database_wait_s : PATIENCE_S;
    struct db_config db = {.application = "picket command",
                           .connections = 1,
                           .waiting_max = 16,
                           .acquire_ms = (unsigned)config->database_acquire_s * 1000,
                           .query_ms = query_ms};
    int code = cmd_database_start(config, CLUSTER_MUST_EXIST, &d->loop, wait_s, &d->cluster, &db, NULL);
    if (code != EXIT_OK) {
        cmd_db_close(d);
        return code;
    }
    r = db_open(&d->loop, &db, &d->db);
    if (r < 0) {
        cmd_db_close(d);
        return cmd_fail("no database pool: %s", err_text(r));
    }
    return EXIT_OK;
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

void cmd_db_close(struct cmd_db *d)
{
    if (!d->opened)
        return;
    bool closed = d->db == NULL;
    if (d->db)
        db_close(d->db, on_closed, &closed);
    while (!closed)
        uv_run(&d->loop, UV_RUN_ONCE);
    uv_run(&d->loop, UV_RUN_DEFAULT); /* close callbacks */
    int r = uv_loop_close(&d->loop);
    assert(r == 0);
    db_cluster_stop(d->cluster); /* the last user stops the server */
    d->opened = false;
}

int cmd_db_run(struct cmd_db *d, struct db_query *q, void (*seen)(void *arg, const struct db_rows *rows), void *arg, const char *conflict)
{
    int r = db_wait(d->db, q, seen, arg);
    if (r == -ERR_DB_CONFLICT && conflict)
        return cmd_fail("%s", conflict);
    if (r < 0)
        return cmd_fail("%s%s%s", err_text(r), q->sqlstate[0] ? ", SQLSTATE " : "", q->sqlstate);
    return EXIT_OK;
}

int cmd_db_ask(const struct config *config, struct db_query *q, void (*seen)(void *arg, const struct db_rows *rows), void *arg,
               const char *conflict)
{
    struct cmd_db d;
    int code = cmd_db_open(&d, config);
    if (code != EXIT_OK)
        return code;
    code = cmd_db_run(&d, q, seen, arg, conflict);
    cmd_db_close(&d);
    return code;
}

static void see_url(void *arg, const struct db_rows *rows)
{
    if (db_count(rows) == 1)
        buf_append_str(arg, db_text(rows, 0, 0));
}

int cmd_public_url(struct cmd_db *d, const struct config *config, struct buf *ret)
{
    struct db_query q;
    int code = EXIT_OK;
    db_query_init(&q, STMT_PUBLIC_URL_GET, NULL);
    if (!config->address_is_set)
        code = cmd_db_run(d, &q, see_url, ret, NULL);
    if (code == EXIT_OK && ret->n == 0)
        buf_append_str(ret, str_from(config->public_url));
    return code;
}
