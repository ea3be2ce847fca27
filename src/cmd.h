/* cmd.h: what the commands share: their entries, their exit codes, a database to ask, a table to print. */
#pragma once

#include "config.h"
#include "picket/base/id.h"
#include "picket/db/cluster.h"
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

/* "picket: …" on stderr, with what to do about it; returns EXIT_FAILED. */
int cmd_fail(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* The same for a wrong call, with a pointer to `picket <command> --help`; returns EXIT_USAGE. */
int cmd_usage(const char *command, const char *fmt, ...) PRINTF_LIKE(2, 3);
bool cmd_wants_help(int argc, char **argv); /* any --help or -h */

/* A database for one command: DATABASE_URL, or the private cluster, which is started when it does not run; its last user stops it. Migrated. */
struct cmd_db {
    uv_loop_t loop;
    struct db_cluster *cluster;
    const char *conninfo;
    struct db *db;
    bool opened;
};
/* As root it becomes user postgres first, so that no file of root's stays in DATA_DIR. 0, or an exit code after telling why. */
int cmd_db_open(struct cmd_db *d, const struct config *config);
void cmd_db_close(struct cmd_db *d);
/* Finds or starts the database and brings its schema up to date: what serve and the other commands have in common. */
int cmd_database_start(const struct config *config, uv_loop_t *loop, struct db_cluster **ret_cluster, const char **ret_conninfo,
                       void (*progress)(int number, const char *name));

/* A list for people (aligned columns) or as JSON (an array of objects). Cells are texts, copied. */
struct cmd_table {
    const char *const *columns;
    unsigned n_columns, n_cells;
    struct buf cells;           /* each NUL-terminated */
};
void cmd_table_cell(struct cmd_table *t, struct str text);
void cmd_table_print(struct cmd_table *t, bool as_json); /* and frees */

/* Posts a sample error event to the DSN. *ret_id is the event's id; 0 when the answer was 200, else <0 with the reason in `why`. */
MUST_CHECK int send_sample(const char *dsn, const char *message, struct id128 *ret_id, char *why, size_t why_size);
