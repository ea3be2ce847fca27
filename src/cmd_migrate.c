/* cmd_migrate.c: `picket migrate`. */
#include <stdio.h>

#include "cmd.h"
#include "picket/db/migrate.h"

static const char usage[] =
    "usage: picket migrate\n\n"
    "Brings the schema of the database (DATABASE_URL, or the private cluster) up to date. `picket serve` does the same\n"
    "at its start; several may run at once.";

static void say(struct db_progress *p, int number, const char *name)
{
    (void)p;
    printf("migration %04d %s\n", number, name);
}

int cmd_migrate(const struct config *config, int argc, char **argv)
{
    const struct cmd_line line = {.command = "migrate", .usage = usage};
    int code;
    if (!cmd_read(&line, argc, argv, &code))
        return code;
    uv_loop_t loop;
    struct db_progress progress = {say};
    struct db_cluster *cluster = NULL;
    struct db_config nobody = {0}; /* goes on with the connection */
    if (uv_loop_init(&loop) < 0)
        return cmd_fail("cannot make an event loop: is there memory, and are there descriptors left?");
    code = cmd_database_start(config, CLUSTER_MAY_BE_MADE, &loop, (unsigned)config->database_wait_s, &cluster, &nobody, &progress);
    if (code == EXIT_OK)
        printf("The schema is up to date (this release knows version %d).\n", db_schema_known());
    uv_run(&loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&loop); /* the process ends here */
    db_cluster_stop(cluster);
    return code;
}
