/* cmd_retention.c: `picket retention run`: what the server does every hour, now and before one's eyes. */
#include <inttypes.h>
#include <stdio.h>

#include "cmd.h"
#include "picket/base/clock.h"
#include "picket/base/error.h"
#include "picket/digest/retention.h"

enum { COPY_MS = 3600 * 1000 };

static const char usage[] = "usage: picket retention run [--dry-run] [--json]\n\n"
                            "Drops the days that nobody keeps any more and rewrites those that have cooled (a day, a week and a month "
                            "after their end), so that only\n"
                            "what is to be kept stays; the space goes back to the file system. The server does the same every hour.\n\n"
                            "  --dry-run   only says what would be done\n\n"
                            "RETENTION_DAYS and RETENTION_EVENTS_PER_ISSUE are the installation's rules; `picket project set` gives a "
                            "project its own. Issues, their\n"
                            "numbers and their counts stay when their events are gone.";

struct run {
    uv_loop_t *loop;
    struct cmd_table table;
    bool dry_run, json, over;
    int64_t began_us;
    int result;
    char sqlstate[DB_SQLSTATE];
    struct retention_total total;
};

static const char *const columns[] = {"day", "rows", "bytes", "dropped_rows", "dropped_bytes", "result"};

static void on_day(void *arg, const struct retention_day *d, const struct retention_total *so_far)
{
    struct run *run = arg;
    cmd_table_text(&run->table, str_from(d->day));
    cmd_table_number(&run->table, d->rows);
    cmd_table_number(&run->table, d->bytes);
    cmd_table_number(&run->table, d->result < 0 ? 0 : d->dropped_rows);
    cmd_table_number(&run->table, d->result < 0 ? 0 : d->dropped_bytes);
    cmd_table_text(&run->table, d->result < 0 ? str_from(d->sqlstate[0] ? d->sqlstate : err_name(d->result)) : STR("ok"));
    double seconds = (double)(clock_mono_us() - run->began_us) / 1e6;
    if (seconds > 2 && isatty(STDERR_FILENO))
        (void)fprintf(stderr, "\r%u of %u days, %.1f days/s, %.0f s left   ", so_far->days, so_far->days_due, so_far->days / seconds,
                      (so_far->days_due - so_far->days) * seconds / so_far->days);
}

static void on_done(void *arg, int r, const char *sqlstate, const struct retention_total *total)
{
    struct run *run = arg;
    run->over = true;
    run->result = r;
    run->total = *total;
    (void)snprintf(run->sqlstate, sizeof run->sqlstate, "%s", sqlstate);
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static int conclude(struct run *run)
{
    if (isatty(STDERR_FILENO) && clock_mono_us() - run->began_us > 2 * CLOCK_US_PER_S)
        (void)fputc('\n', stderr);
    if (run->json || run->total.days > 0)
        cmd_table_print(&run->table, run->json);
    if (run->result == -ERR_DB_BUSY)
        return cmd_fail("another retention is at work on this database: try again when it is done");
    if (run->result < 0)
        return cmd_fail("retention ended early: %s %s", err_text(run->result), run->sqlstate);
    if (!run->json)
        printf("%s %" PRId64 " events, %" PRId64 " bytes, of %u days%s\n", run->dry_run ? "would drop" : "dropped", run->total.dropped_rows,
               run->total.dropped_bytes, run->total.days, run->total.days ? "" : ": nothing is due");
    if (run->total.failed_days)
        return cmd_fail(
            "%u days could not be had and are left as they were: run it again when nothing (a dump, an open session) keeps the table",
            run->total.failed_days);
    return EXIT_OK;
}

static int run(const struct config *config, int argc, char **argv)
{
    struct run run = {.table = {.columns = columns, .n_columns = ARRAY_LEN(columns)}, .began_us = clock_mono_us()};
    const struct cmd_option options[] = {{"--json", &run.json, NULL}, {"--dry-run", &run.dry_run, NULL}};
    const struct cmd_line line = {.command = "retention", .usage = usage, .options = options, .n_options = ARRAY_LEN(options)};
    struct cmd_db d;
    int code;
    if (!cmd_read(&line, argc, argv, &code))
        return code;
    code = cmd_db_open_for(&d, config, COPY_MS);
    if (code != EXIT_OK)
        return code;
    struct retention_config retention = {.db = d.db,
                                         .days = (unsigned)config->retention_days,
                                         .per_issue = (unsigned)config->retention_events_per_issue,
                                         .dry_run = run.dry_run,
                                         .now_us = clock_wall_us()};
    struct retention_events events = {.day = on_day, .done = on_done, .arg = &run};
    struct retention *r;
    bool closed = false;
    if (retention_open(&retention, &events, &r) < 0)
        abort(); /* out of memory */
    while (!run.over)
        uv_run(&d.loop, UV_RUN_ONCE);
    retention_close(r, on_closed, &closed);
    while (!closed)
        uv_run(&d.loop, UV_RUN_ONCE);
    cmd_db_close(&d);
    return conclude(&run);
}

int cmd_retention(const struct config *config, int argc, char **argv)
{
    static const struct cmd_verb verbs[] = {{"run", run}};
    return cmd_verbs("retention", usage, verbs, ARRAY_LEN(verbs), config, argc, argv);
}
