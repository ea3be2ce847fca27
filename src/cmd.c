/* cmd.c: what the commands share. */
#include "cmd.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "picket/base/error.h"
#include "picket/db/migrate.h"
#include "privileges.h"

enum { CLUSTER_START_MS = 60000, QUERY_MS = 30000 };

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

bool cmd_wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (str_eq(str_from(argv[i]), STR("--help")) || str_eq(str_from(argv[i]), STR("-h")))
            return true;
    return false;
}

static int start_cluster(const struct config *config, struct db_cluster **ret)
{
    const char *why = "";
    int r = privileges_prepare_dir(config->data_dir, &why);
    if (r == 0)
        r = privileges_drop(&why);
    if (r < 0)
        return cmd_fail("%s: %s (%s)", config->data_dir, why, err_text(r));
    struct db_cluster_config cluster = {.dir = config->cluster_dir, .bin_dir = config->postgres_bin_dir, .start_ms = CLUSTER_START_MS};
    r = db_cluster_start(&cluster, ret, &why);
    return r < 0 ? cmd_fail("%s (%s; in %s)", why, err_text(r), config->cluster_dir) : EXIT_OK;
}

int cmd_database_start(const struct config *config, uv_loop_t *loop, struct db_cluster **ret_cluster, const char **ret_conninfo,
                       void (*progress)(int number, const char *name))
{
    *ret_cluster = NULL;
    *ret_conninfo = config->database_url;
    if (!config->database_url) {
        int code = start_cluster(config, ret_cluster);
        if (code != EXIT_OK)
            return code;
        *ret_conninfo = db_cluster_conninfo(*ret_cluster);
    }
    struct db_migration_report report;
    int r = db_migrate(loop, *ret_conninfo, (unsigned)config->database_wait_s * 1000, progress, &report);
    if (r == 0)
        return EXIT_OK;
    if (report.failed)
        return cmd_fail("migration %d failed and was rolled back: %s %s", report.failed, report.sqlstate, report.message);
    if (r == -ERR_DB_AWAY)
        return cmd_fail("the database does not answer: %s. Look at DATABASE_URL, and whether PostgreSQL runs", report.message);
    return cmd_fail("the schema cannot be brought up to date: %s %s", report.sqlstate, report.message);
}

int cmd_db_open(struct cmd_db *d, const struct config *config)
{
    *d = (struct cmd_db){0};
    int r = uv_loop_init(&d->loop);
    if (r < 0)
        return cmd_fail("no event loop: %s", uv_strerror(r));
    d->opened = true;
    int code = cmd_database_start(config, &d->loop, &d->cluster, &d->conninfo, NULL);
    if (code != EXIT_OK) {
        cmd_db_close(d);
        return code;
    }
    struct db_config db = {.conninfo = d->conninfo, .application = "picket command", .connections = 1, .waiting_max = 16,
                           .acquire_ms = (unsigned)config->database_acquire_s * 1000, .query_ms = QUERY_MS};
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

/* ---- tables */

void cmd_table_cell(struct cmd_table *t, struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        buf_append_char(&t->cells, text.p[i] ? text.p[i] : ' ');
    buf_append_char(&t->cells, '\0');
    t->n_cells++;
}

static void print_json(const struct cmd_table *t)
{
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    json_writer_init(&w, &out);
    json_begin_array(&w);
    const char *cell = t->cells.p;
    for (unsigned i = 0; i < t->n_cells; i++, cell += strlen(cell) + 1) {
        unsigned column = i % t->n_columns;
        if (column == 0)
            json_begin_object(&w);
        json_field_str(&w, str_from(t->columns[column]), str_from(cell));
        if (column == t->n_columns - 1)
            json_end_object(&w);
    }
    json_end_array(&w);
    printf("%s\n", buf_cstr(&out));
}

static void print_text(const struct cmd_table *t)
{
    int widths[16] = {0};
    assert(t->n_columns <= ARRAY_LEN(widths));
    const char *cell = t->cells.p;
    for (unsigned i = 0; i < t->n_columns; i++)
        widths[i] = (int)strlen(t->columns[i]);
    for (unsigned i = 0; i < t->n_cells; i++, cell += strlen(cell) + 1)
        if ((int)strlen(cell) > widths[i % t->n_columns])
            widths[i % t->n_columns] = (int)strlen(cell);
    for (unsigned i = 0; i < t->n_columns; i++)
        printf("%-*s%s", i + 1 < t->n_columns ? widths[i] : 0, t->columns[i], i + 1 < t->n_columns ? "  " : "\n");
    cell = t->cells.p;
    for (unsigned i = 0; i < t->n_cells; i++, cell += strlen(cell) + 1) {
        unsigned column = i % t->n_columns;
        bool last = column + 1 == t->n_columns;
        printf("%-*s%s", last ? 0 : widths[column], cell, last ? "\n" : "  ");
    }
}

void cmd_table_print(struct cmd_table *t, bool as_json)
{
    if (as_json)
        print_json(t);
    else
        print_text(t);
    buf_done(&t->cells);
}
