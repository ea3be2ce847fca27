/* cmd.h: what the commands share: their entries, their exit codes, a database to ask, a table to print. */
#pragma once

#include "config.h"
#include "picket/base/id.h"
#include "picket/db/cluster.h"
#include "picket/db/migrate.h"
#include "picket/db/db.h"
#include "picket/json/json.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* argv[0] is the command's name. All return an exit code. */
int cmd_serve(const struct config *config, int argc, char **argv);
int cmd_migrate(const struct config *config, int argc, char **argv);
int cmd_user(const struct config *config, int argc, char **argv);
int cmd_project(const struct config *config, int argc, char **argv);
int cmd_token(const struct config *config, int argc, char **argv);
int cmd_send(const struct config *config, int argc, char **argv);
int cmd_dlq(const struct config *config, int argc, char **argv);
int cmd_status(const struct config *config, int argc, char **argv);
int cmd_quota(const struct config *config, int argc, char **argv);
int cmd_retention(const struct config *config, int argc, char **argv);

/* "picket: …" on stderr, with what to do about it; returns EXIT_FAILED. */
int cmd_fail(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* The same for a wrong call, with a pointer to `picket <command> --help`; returns EXIT_USAGE. */
int cmd_usage(const char *command, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* ---- arguments */
struct cmd_option {
    const char *name;   /* "--json" */
    bool *flag;         /* set to true, or … */
    const char **value; /* … set to what follows ("--slug x", "--slug=x"): one of both is NULL */
};
struct cmd_line {
    const char *command, *usage;
    const struct cmd_option *options;
    size_t n_options;
    const char **arguments; /* what is no option, in order; "-" and what follows "--" too */
    size_t arguments_max;
};
/* Reads argv[1…]. True: go on. False: *ret_code is the exit code; --help was answered, or what is wrong was told. */
MUST_CHECK bool cmd_read(const struct cmd_line *line, int argc, char **argv, int *ret_code);

/* "1,2", as after --project, into an array as PostgreSQL reads it; NULL: nothing is appended. True: go on. */
MUST_CHECK bool cmd_read_projects(const char *command, const char *list, struct buf *out, int *ret_code);

/* `picket user add`: finds argv[1] among the verbs and hands argv[1…] over. */
struct cmd_verb {
    const char *name;
    int (*run)(const struct config *config, int argc, char **argv);
};
int cmd_verbs(const char *command, const char *usage, const struct cmd_verb *verbs, size_t n_verbs, const struct config *config, int argc,
              char **argv);

/* ---- the database */

/* A database for one command: DATABASE_URL, or the private cluster, which is started when it does not run; whoever uses it last stops it. Migrated. */
struct cmd_db {
    uv_loop_t loop;
    struct db_cluster *cluster;
    struct db *db;
    bool opened;
};
/* As root it becomes user postgres first, so that no file of root's stays in DATA_DIR. 0, or an exit code after telling why. */
int cmd_db_open(struct cmd_db *d, const struct config *config);
int cmd_db_open_for(struct cmd_db *d, const struct config *config, unsigned query_ms); /* for statements that take long */
void cmd_db_close(struct cmd_db *d);
/* Asks one question; the exit code. `conflict` is what to say when the answer is -ERR_DB_CONFLICT; NULL where that cannot be. */
int cmd_db_run(struct cmd_db *d, struct db_query *q, void (*seen)(void *arg, const struct db_rows *rows), void *arg, const char *conflict);
/* The same with opening and closing. */
int cmd_db_ask(const struct config *config, struct db_query *q, void (*seen)(void *arg, const struct db_rows *rows), void *arg,
               const char *conflict);
/* What DSNs begin with: PUBLIC_URL and PORT of this environment, else what the server noted, else what it would be by default. Exit code. */
int cmd_public_url(struct cmd_db *d, const struct config *config, struct buf *ret);
/* A command in a terminal that lacks the server's DATA_DIR must not find an empty database that it has just made itself. */
enum cmd_cluster { CLUSTER_MAY_BE_MADE, CLUSTER_MUST_EXIST };
/* Is there a database that a command could ask: DATABASE_URL, or a private cluster in DATA_DIR? */
bool cmd_has_database(const struct config *config);
/* Becomes the right user and finds the database: DATABASE_URL, or the private cluster, started. */
int cmd_database_find(const struct config *config, enum cmd_cluster cluster, struct db_cluster **ret_cluster, const char **ret_conninfo);
/* For a server that can do without it for a while: opens the private cluster, which is there, and tries once to start it, for wait_ms at most.
 * Why it does not answer then is logged. The caller has become the right user. Exit code. */
int cmd_cluster_try(const struct config *config, unsigned wait_ms, struct db_cluster **ret_cluster, bool *ret_answers);
/* db_migrate_for() for a start: a database that does not answer at once, or whose schema others have locked, is waited for, and the log says so. */
MUST_CHECK int cmd_migrate_schema(uv_loop_t *loop, struct db_config *db, unsigned wait_s, struct db_progress *progress,
                                  struct db_migration_report *ret);
/* Tells what db_migrate met; the exit code for it. */
int cmd_explain_migration(int r, const struct db_migration_report *report);
/* Finds or starts the database and brings its schema up to date. Sets the conninfo and the session of `db`, the pool that is to be opened then. */
int cmd_database_start(const struct config *config, enum cmd_cluster cluster, uv_loop_t *loop, unsigned wait_s,
                       struct db_cluster **ret_cluster, struct db_config *db, struct db_progress *progress);

/* ---- tables: for people (aligned columns) or as JSON (an array of objects, with numbers, booleans and nulls) */
struct cmd_table {
    const char *const *columns;
    unsigned n_columns, n_cells;
    struct buf cells; /* each a kind and a NUL-terminated text */
};
void cmd_table_text(struct cmd_table *t, struct str text); /* copied; p == NULL: null */
void cmd_table_number(struct cmd_table *t, int64_t v);
void cmd_table_flag(struct cmd_table *t, bool v);
void cmd_table_time(struct cmd_table *t, const struct db_rows *rows, int row, int col); /* a timestamptz or null */
void cmd_table_print(struct cmd_table *t, bool as_json);                                /* and frees */
void cmd_table_put(struct json_writer *w, const struct cmd_table *t);                   /* the array, as a part of something larger */

/* Posts a sample error event to the DSN. *ret_id is the event's id; 0 when the answer was 200, else <0 with the reason in `why`. */
MUST_CHECK int send_sample(const char *dsn, const char *message, struct id128 *ret_id, char *why, size_t why_size);
