/* cmd_retention.c: `picket retention run`: what the server does every hour, now and before one's eyes. `retention erase` writes down whose data must go,
 * and runs it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "cmd.h"
#include "picket/base/clock.h"
#include "picket/base/error.h"
#include "picket/digest/retention.h"
#include "picket/digest/spill.h"
#include "picket/digest/sweep.h"

enum { COPY_MS = 3600 * 1000, WAIT_S = 60, WAIT_MAX_S = 86400 };

static const char usage[] =
    "usage: picket retention run [--dry-run] [--wait SECONDS] [--json]\n"
    "       picket retention erase --project ID --user USER [--dry-run] [--wait SECONDS] [--json]\n\n"
    "Drops the days that nobody keeps any more and rewrites those that have cooled (a day, a week and a month "
    "after their end), so that only\n"
    "what is to be kept stays; the space goes back to the file system. Attachments go with their event or with the day of it, and "
    "files that none of\nthem names any more are removed; so are dead letters after DEAD_LETTERS_DAYS, here and in this machine's "
    "DATA_DIR. The server "
    "does the\nsame every RETENTION_EVERY_SECS, the files of attachments once a day.\n\n"
    "  --dry-run        only says what would be done\n"
    "  --wait SECONDS   how long another retention on this database, a server's for instance, is waited for (60)\n\n"
    "RETENTION_DAYS and RETENTION_EVENTS_PER_ISSUE are the installation's rules; `picket project set` gives a "
    "project its own. Issues, their\n"
    "numbers and their counts stay when their events are gone.\n\n"
    "erase takes away what was received of a person in a project: USER is an id, email, username or IP address as "
    "events have it, or one of\n"
    "id:… email:… username:… ip:… Events, dead letters, feedback from that email address and the users of sessions go; "
    "days that are over are\n"
    "rewritten. The request stays in force for a day or more, for what was on its way in any server; spilled dead "
    "letters are deleted by\nthe servers that have them.";

struct run {
    struct cmd_table table;
    bool dry_run, json, over;
    const char *wait;
    unsigned wait_s;
    int64_t began_us;
    int result;
    char sqlstate[DB_SQLSTATE];
    struct retention_total total;
    bool swept;
    int sweep_result, age_result;
    struct sweep_total files;
    struct spill_aged spilled;     /* files of dead letters … */
    struct spool_aged quarantined; /* … and damaged bytes of the spool, of this machine's server */
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

static void on_swept(void *arg, int r, const struct sweep_total *total)
{
    struct run *run = arg;
    run->swept = true;
    run->sweep_result = r;
    run->files = *total;
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

/* Files that no row names; of a dry run those that none names now, before anything is dropped. */
static int sweep(struct run *run, const struct config *config, struct db *db)
{
    struct blob_store *blobs;
    struct sweep *s;
    struct blob_config blob = {.dir = config->attachments_dir};
    bool closed = false;
    int r = blob_open(&blob, &blobs);
    if (r < 0)
        return r;
    struct sweep_config sweep = {.db = db, .blobs = blobs, .dry_run = run->dry_run};
    struct sweep_events events = {.done = on_swept, .arg = run};
    r = sweep_open(&sweep, &events, &s);
    if (r == 0) {
        while (!run->swept)
            uv_run(db_loop(db), UV_RUN_ONCE);
        sweep_close(s, on_closed, &closed);
        while (!closed)
            uv_run(db_loop(db), UV_RUN_ONCE);
        r = run->sweep_result;
    }
    blob_close(blobs);
    return r;
}

/* Dead letters in files, and what the spool has set aside: as the server does (letters.c), beside it or without it. */
static int age_files(struct run *run, const struct config *config)
{
    int64_t now_us = clock_wall_us(), before_us = now_us - (int64_t)config->dead_letters_days * CLOCK_US_PER_DAY;
    if (config->dead_letters_days == 0)
        return 0;
    AUTO_CLOSE int held = run->dry_run ? -ENOENT : spill_hold(config->dead_letters_dir, SPILL_WAIT);
    if (held < 0 && held != -ENOENT)
        return held;
    int r = spill_age(config->dead_letters_dir, before_us, now_us, run->dry_run ? SPILL_COUNT_AGED : SPILL_DELETE_AGED, &run->spilled);
    if (r < 0)
        return r;
    return spool_quarantine_age(config->spool_dir, before_us, run->dry_run ? SPOOL_COUNT_AGED : SPOOL_REMOVE_AGED, &run->quarantined);
}

/* ---- what it came to */

static const enum retention_kind kinds[] = {RETENTION_FEEDBACK, RETENTION_CHECK_INS, RETENTION_OUTCOMES,
                                            RETENTION_SESSIONS, RETENTION_OTHERS,    RETENTION_DEAD_LETTERS};

static void put_pair(struct json_writer *w, struct str of_count, int64_t n, struct str of_bytes, int64_t bytes)
{
    json_field_i64(w, of_count, n);
    json_field_i64(w, of_bytes, bytes);
}

static void print_json(struct run *run)
{
    AUTO_BUF struct buf out = {0};
    const struct retention_total *t = &run->total;
    struct json_writer w;
    json_writer_init(&w, &out);
    json_begin_object(&w);
    json_key(&w, STR("dry_run"));
    json_put_bool(&w, run->dry_run);
    json_key(&w, STR("days"));
    cmd_table_put(&w, &run->table);
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        json_field_i64(&w, str_from(retention_kind_name(kinds[i])), t->tidied[kinds[i]]);
    put_pair(&w, STR("attachments"), t->attachments, STR("attachment_bytes"), t->attachment_bytes);
    put_pair(&w, STR("files"), (int64_t)run->files.files, STR("file_bytes"), (int64_t)run->files.bytes);
    put_pair(&w, STR("spilled"), (int64_t)run->spilled.files, STR("spilled_bytes"), (int64_t)run->spilled.bytes);
    put_pair(&w, STR("quarantined"), (int64_t)run->quarantined.files, STR("quarantined_bytes"), (int64_t)run->quarantined.bytes);
    json_end_object(&w);
    puts(buf_cstr(&out));
}

static void print_files(const struct run *run, const char *what, uint64_t files, uint64_t bytes)
{
    if (files)
        printf("%s %" PRIu64 " %s of %" PRIu64 " bytes\n", run->dry_run ? "would remove" : "removed", files, what, bytes);
}

/* Kinds of which there is something. */
static void print_text(struct run *run)
{
    static const char *const words[RETENTION_KINDS] = {
        [RETENTION_FEEDBACK] = "feedback", [RETENTION_CHECK_INS] = "check-ins", [RETENTION_OUTCOMES] = "outcomes",
        [RETENTION_SESSIONS] = "sessions", [RETENTION_OTHERS] = "other notes",  [RETENTION_DEAD_LETTERS] = "dead letters",
    };
    AUTO_BUF struct buf list = {0};
    const struct retention_total *t = &run->total;
    const char *dropped = run->dry_run ? "would drop" : "dropped";
    if (t->days > 0)
        cmd_table_print(&run->table, false);
    if (run->result == 0)
        printf("%s %" PRId64 " events, %" PRId64 " bytes, of %u days%s\n", dropped, t->dropped_rows, t->dropped_bytes, t->days,
               t->days ? "" : ": nothing is due");
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (t->tidied[kinds[i]])
            buf_printf(&list, "%s%" PRId64 " %s", list.n ? ", " : "", t->tidied[kinds[i]], words[kinds[i]]);
    if (list.n)
        printf("%s %s\n", dropped, buf_cstr(&list));
    if (t->attachments || run->files.files)
        printf("%s %" PRId64 " attachments of %" PRId64 " bytes; %s %" PRIu64 " files of %" PRIu64 " bytes\n", dropped, t->attachments,
               t->attachment_bytes, run->dry_run ? "would free" : "freed", run->files.files, run->files.bytes);
    print_files(run, "spilled dead letters", run->spilled.files, run->spilled.bytes);
    print_files(run, "damaged parts of the spool", run->quarantined.files, run->quarantined.bytes);
}

static int explain_files(const struct run *run)
{
    if (run->age_result < 0)
        return cmd_fail("files of dead letters or of damaged bytes could not be looked through or removed: %s", err_text(run->age_result));
    if (run->sweep_result < 0)
        return cmd_fail("files of attachments could not be swept: %s", err_text(run->sweep_result));
    return run->files.failed ? cmd_fail("%" PRIu64 " files of attachments could not be removed", run->files.failed) : EXIT_OK;
}

static int explain(const struct run *run)
{
    if (run->result == -ERR_DB_BUSY)
        return cmd_fail(
            "another retention is at work on this database, %u s later still: try again when it is done, or with a longer --wait",
            run->wait_s);
    if (run->result == -ERR_DB_UNQUIET)
        return cmd_fail("a batch that was being stored did not end within a minute, so nothing was looked through: try again later");
    if (run->result < 0)
        return cmd_fail("retention ended early: %s %s", err_text(run->result), run->sqlstate);
    if (run->total.erased.result < 0)
        return cmd_fail("not everything was looked through for erased persons: %s. The next run will", err_text(run->total.erased.result));
    if (run->total.failed_days)
        return cmd_fail(
            "%u days could not be had and are left as they were: run it again when nothing (a dump, an open session) keeps the table",
            run->total.failed_days);
    return explain_files(run);
}

static int conclude(struct run *run)
{
    if (isatty(STDERR_FILENO) && clock_mono_us() - run->began_us > 2 * CLOCK_US_PER_S)
        (void)fputc('\n', stderr);
    if (run->json)
        print_json(run);
    else
        print_text(run);
    buf_done(&run->table.cells);
    return explain(run);
}

static void work(struct cmd_db *d, const struct config *config, const struct retention_person *only, struct run *run)
{
    struct retention_config retention = {.db = d->db,
                                         .days = (unsigned)config->retention_days,
                                         .per_issue = (unsigned)config->retention_events_per_issue,
                                         .letter_days = (unsigned)config->dead_letters_days,
                                         .dry_run = run->dry_run,
                                         .now_us = clock_wall_us(),
                                         .wait_ms = run->wait_s * 1000,
                                         .only = *only};
    struct retention_events events = {.day = on_day, .done = on_done, .arg = run};
    struct retention *r;
    bool closed = false;
    if (retention_open(&retention, &events, &r) < 0)
        abort(); /* out of memory */
    while (!run->over)
        uv_run(&d->loop, UV_RUN_ONCE);
    retention_close(r, on_closed, &closed);
    while (!closed)
        uv_run(&d->loop, UV_RUN_ONCE);
}

/* --wait. False: it is no number, and that was told. */
static bool read_wait(struct run *run)
{
    uint64_t seconds = WAIT_S;
    if (run->wait && (!str_to_u64(str_from(run->wait), &seconds) || seconds > WAIT_MAX_S)) {
        (void)cmd_usage("retention", "--wait needs a number of seconds from 0 to %d", WAIT_MAX_S);
        return false;
    }
    run->wait_s = (unsigned)seconds;
    return true;
}

static int run(const struct config *config, int argc, char **argv)
{
    static const struct retention_person everybody = {.project = 0};
    struct run run = {.table = {.columns = columns, .n_columns = ARRAY_LEN(columns)}, .began_us = clock_mono_us()};
    const struct cmd_option options[] = {{"--json", &run.json, NULL}, {"--dry-run", &run.dry_run, NULL}, {"--wait", NULL, &run.wait}};
    const struct cmd_line line = {.command = "retention", .usage = usage, .options = options, .n_options = ARRAY_LEN(options)};
    struct cmd_db d;
    int code;
    if (!cmd_read(&line, argc, argv, &code))
        return code;
    if (!read_wait(&run))
        return EXIT_USAGE;
    code = cmd_db_open_for(&d, config, COPY_MS);
    if (code != EXIT_OK)
        return code;
    work(&d, config, &everybody, &run);
    if (run.result == 0)
        run.sweep_result = sweep(&run, config, d.db);
    if (run.result == 0)
        run.age_result = age_files(&run, config);
    cmd_db_close(&d);
    return conclude(&run);
}

/* ---- erase */

static const char *const erase_columns[] = {"id", "done", "events", "dead_letters", "files", "feedback", "session_users", "bytes"};

struct erasing {
    struct retention_person who;
    struct run run;
    struct cmd_table table;
    int64_t request; /* 0: none was made */
    bool has_project, is_done;
};

/* Columns: id, field, key, requested_at, done_at, forgotten_at, events, dead_letters, files, feedback, session_users, bytes. */
static void see_request(void *arg, const struct db_rows *rows)
{
    struct erasing *e = arg;
    e->has_project = db_count(rows) > 0;
    e->request = e->has_project ? db_i64(rows, 0, 0) : 0;
}

static void see_erased(void *arg, const struct db_rows *rows)
{
    enum { DONE = 4, EVENTS = 6, N_COUNTS = 6 };
    struct erasing *e = arg;
    if (db_count(rows) == 0)
        return; /* its project is gone */
    e->is_done = !db_is_null(rows, 0, DONE);
    cmd_table_number(&e->table, e->request);
    cmd_table_flag(&e->table, e->is_done);
    for (int i = 0; i < N_COUNTS; i++)
        cmd_table_number(&e->table, db_i64(rows, 0, EVENTS + i));
}

/* Columns: feedback, users of sessions. Files are not counted beforehand. */
static void see_preview(void *arg, const struct db_rows *rows)
{
    struct erasing *e = arg;
    const struct retention_erased *found = &e->run.total.erased;
    e->has_project = db_count(rows) > 0;
    if (!e->has_project)
        return;
    cmd_table_text(&e->table, (struct str){0});
    cmd_table_flag(&e->table, false);
    cmd_table_number(&e->table, found->events);
    cmd_table_number(&e->table, found->dead_letters);
    cmd_table_text(&e->table, (struct str){0});
    cmd_table_number(&e->table, db_i64(rows, 0, 0));
    cmd_table_number(&e->table, db_i64(rows, 0, 1));
    cmd_table_number(&e->table, found->bytes);
}

static void bind_person(struct db_query *q, const struct retention_person *who)
{
    db_bind_i32(q, who->project);
    db_bind_text(q, person_field_name(who->person.field));
    db_bind_text(q, who->person.key);
}

static int no_project(const struct erasing *e)
{
    return cmd_fail("there is no project %" PRId32 ": picket project list shows all", e->who.project);
}

static int preview(const struct config *config, struct cmd_db *d, struct erasing *e)
{
    struct db_query q;
    work(d, config, &e->who, &e->run);
    db_query_init(&q, STMT_ERASURE_PREVIEW, NULL);
    bind_person(&q, &e->who);
    int code = cmd_db_run(d, &q, see_preview, e, NULL);
    if (code == EXIT_OK && !e->has_project)
        return no_project(e);
    return code == EXIT_OK ? explain(&e->run) : code;
}

static int request(const struct config *config, struct cmd_db *d, struct erasing *e)
{
    static const struct retention_person everybody = {.project = 0};
    struct db_query q;
    int code;
    db_query_init(&q, STMT_ERASURE_ADD, NULL);
    bind_person(&q, &e->who);
    db_bind_null(&q);
    db_bind_null(&q); /* by nobody known */
    code = cmd_db_run(d, &q, see_request, e, NULL);
    if (code != EXIT_OK)
        return code;
    if (!e->has_project)
        return no_project(e);
    work(d, config, &everybody, &e->run);
    db_query_init(&q, STMT_ERASURE_SHOW, NULL);
    db_bind_i32(&q, e->who.project);
    db_bind_i64(&q, e->request);
    code = cmd_db_run(d, &q, see_erased, e, NULL);
    if (code != EXIT_OK || e->is_done)
        return code;
    (void)explain(&e->run);
    return cmd_fail("request %" PRId64 " is written down and not done yet: the next retention goes on with it", e->request);
}

static int erase(const struct config *config, int argc, char **argv)
{
    struct erasing e = {.run = {.table = {.columns = columns, .n_columns = ARRAY_LEN(columns)}, .began_us = clock_mono_us()},
                        .table = {.columns = erase_columns, .n_columns = ARRAY_LEN(erase_columns)}};
    const char *project = NULL, *user = NULL;
    const struct cmd_option options[] = {{"--json", &e.run.json, NULL},
                                         {"--dry-run", &e.run.dry_run, NULL},
                                         {"--wait", NULL, &e.run.wait},
                                         {"--project", NULL, &project},
                                         {"--user", NULL, &user}};
    const struct cmd_line line = {.command = "retention", .usage = usage, .options = options, .n_options = ARRAY_LEN(options)};
    struct cmd_db d;
    int64_t id;
    int code;
    if (!cmd_read(&line, argc, argv, &code))
        return code;
    if (!project || !str_to_i64(str_from(project), &id) || id < 1 || id > INT32_MAX)
        return cmd_usage("retention", "--project needs a project's number: picket project list shows it");
    if (!user || !person_read(str_from(user), &e.who.person))
        return cmd_usage("retention", "--user needs an id, email, username or IP address");
    if (!read_wait(&e.run))
        return EXIT_USAGE;
    e.who.project = (int32_t)id;
    code = cmd_db_open_for(&d, config, COPY_MS);
    if (code != EXIT_OK)
        return code;
    code = e.run.dry_run ? preview(config, &d, &e) : request(config, &d, &e);
    cmd_db_close(&d);
    buf_done(&e.run.table.cells);
    if (e.has_project)
        cmd_table_print(&e.table, e.run.json);
    return code;
}

int cmd_retention(const struct config *config, int argc, char **argv)
{
    static const struct cmd_verb verbs[] = {{"run", run}, {"erase", erase}};
    return cmd_verbs("retention", usage, verbs, ARRAY_LEN(verbs), config, argc, argv);
}
