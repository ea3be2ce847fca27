/* migrate.c: numbered scripts, one transaction each, under an advisory lock that the session holds from the first look at the version to the
 * last commit. Written as a straight line: run() sends one script and turns the loop until it is answered, which is right for a command and
 * for start-up and wrong anywhere else.
 *
 * Time is bounded for what others make us wait for: until the server answers, and until the lock is free. A migration of our own takes as long as the
 * data wants. Nothing is written where the schema is up to date, so that a server which only lets read (a standby) is no obstacle.
 *
 * Whoever looks at the schema has something to ask afterwards: the session goes on as the first one of a pool, once the lock is given back and
 * whatever a migration may have left in it is discarded. A session costs the server more than all that is asked here. */
#include "picket/db/migrate.h"

#include <stdio.h>

#include "io.h"
#include "picket/base/error.h"
#include "stmts_text.h"

enum { RETRY_MS = 200, GRACE_MS = 1000, CONNECT_MS = 10000, STATEMENT_MS = 0 /* a migration may take its time */ };

struct session {
    struct db_io io;
    uv_timer_t pause;
    bool settled;     /* connecting ended, a statement was answered, or the pause is over */
    bool failed;      /* the connection is gone */
    PGresult *result; /* the last of the script, or its error */
    struct db_migration_report *report;
};

static void on_up(struct db_io *io)
{
    container_of(io, struct session, io)->settled = true;
}

static void on_down(struct db_io *io)
{
    struct session *s = container_of(io, struct session, io);
    s->failed = s->settled = true;
    (void)snprintf(s->report->message, sizeof s->report->message, "%s", io->why); /* cut if long: it is for people */
}

static void on_input(struct db_io *io)
{
    struct session *s = container_of(io, struct session, io);
    while (!PQisBusy(io->pg)) {
        PGresult *result = PQgetResult(io->pg);
        if (!result) {
            s->settled = true;
            return;
        }
        if (s->result && PQresultStatus(s->result) == PGRES_FATAL_ERROR) {
            PQclear(result);
        } else {
            PQclear(s->result);
            s->result = result;
        }
    }
}

static void on_pause(uv_timer_t *timer)
{
    container_of(timer, struct session, pause)->settled = true;
}

static void settle(struct session *s)
{
    while (!s->settled)
        uv_run(s->io.loop, UV_RUN_ONCE);
}

/* Runs the text of a file under sql/, which may be several statements. The result stays in s->result. */
static int run(struct session *s, const char *sql, int n_params, const char *const *values)
{
    s->settled = false;
    PQclear(TAKE_PTR(s->result));
    int sent = n_params ? PQsendQueryParams(s->io.pg, sql, n_params, NULL, values, NULL, NULL, 0) : PQsendQuery(s->io.pg, sql);
    if (!sent || db_io_flush(&s->io) < 0)
        return -ERR_DB_AWAY;
    settle(s);
    if (s->failed || !s->result)
        return -ERR_DB_AWAY;
    ExecStatusType status = PQresultStatus(s->result);
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
        return 0;
    const char *text = PQresultErrorField(s->result, PG_DIAG_MESSAGE_PRIMARY), *state = PQresultErrorField(s->result, PG_DIAG_SQLSTATE);
    (void)snprintf(s->report->message, sizeof s->report->message, "%s", text ? text : "no message");
    (void)snprintf(s->report->sqlstate, sizeof s->report->sqlstate, "%s", state ? state : "");
    return -ERR_DB_FAILED;
}

static int run_stmt(struct session *s, enum db_stmt stmt)
{
    return run(s, stmt_texts[stmt].sql, 0, NULL);
}

static int number_of(const struct session *s)
{
    uint64_t n;
    bool ok = PQntuples(s->result) == 1 && str_to_u64(str_from(PQgetvalue(s->result, 0, 0)), &n) && n <= INT32_MAX;
    return ok ? (int)n : 0;
}

static int apply(struct session *s, const struct stmt_migration *m)
{
    char number[16];
    (void)snprintf(number, sizeof number, "%d", m->number);
    const char *const values[] = {number, m->name};
    int r = run_stmt(s, STMT_MIGRATE_BEGIN);
    if (r == 0)
        r = run(s, m->sql, 0, NULL);
    if (r == 0)
        r = run(s, stmt_texts[STMT_MIGRATE_RECORD].sql, 2, values);
    if (r == 0)
        r = run_stmt(s, STMT_MIGRATE_COMMIT);
    if (r < 0)
        s->report->failed = m->number; /* the session ends, which rolls the transaction back */
    return r;
}

static int check_release(struct session *s)
{
    if (s->report->from == 0)
        return 0;
    int r = run_stmt(s, STMT_MIGRATE_MIN_RELEASE);
    if (r < 0)
        return r;
    s->report->min_release = number_of(s);
    if (s->report->min_release <= stmt_n_migrations)
        return 0;
    (void)snprintf(
        s->report->message, sizeof s->report->message,
        "the schema is at version %d and needs a Picket that knows at least version %d; this one knows %d: install a newer release",
        s->report->from, s->report->min_release, stmt_n_migrations);
    return -ERR_DB_FAILED;
}

static uint64_t now_ms(const struct session *s)
{
    uv_update_time(s->io.loop);
    return uv_now(s->io.loop);
}

/* Up to `ms`: less when the connection is lost meanwhile, or made. */
static void wait_ms(struct session *s, uint64_t ms)
{
    s->settled = false;
    uv_timer_start(&s->pause, on_pause, ms, 0);
    settle(s);
    uv_timer_stop(&s->pause);
}

static bool is_true(const struct session *s)
{
    return PQntuples(s->result) == 1 && PQgetvalue(s->result, 0, 0)[0] == 't';
}

static int lock(struct session *s, uint64_t until)
{
    for (;;) {
        int r = run_stmt(s, STMT_MIGRATE_LOCK);
        if (r < 0 || is_true(s))
            return r;
        (void)snprintf(s->report->message, sizeof s->report->message,
                       "process %s of the database's server holds the lock under which a schema is migrated",
                       PQntuples(s->result) == 1 ? PQgetvalue(s->result, 0, 1) : "");
        if (now_ms(s) >= until)
            return -ERR_DB_BUSY;
        wait_ms(s, RETRY_MS);
        if (s->failed)
            return -ERR_DB_AWAY;
    }
}

static int look(struct session *s)
{
    int r = run_stmt(s, STMT_MIGRATE_LOOK);
    return r < 0 || is_true(s) ? r : run_stmt(s, STMT_MIGRATE_PREPARE);
}

static int upgrade(struct session *s, uint64_t until, struct db_progress *progress)
{
    uint64_t least = now_ms(s) + GRACE_MS;
    int r = lock(s, until > least ? until : least);
    if (r == 0)
        r = look(s);
    if (r == 0)
        r = run_stmt(s, STMT_MIGRATE_VERSION);
    if (r < 0)
        return r;
    s->report->from = s->report->to = number_of(s);
    r = check_release(s);
    for (int i = s->report->from; i < stmt_n_migrations && r == 0; i++) {
        if (progress)
            progress->migrating(progress, stmt_migrations[i].number, stmt_migrations[i].name);
        r = apply(s, &stmt_migrations[i]);
        if (r == 0)
            s->report->to = stmt_migrations[i].number;
    }
    return r == 0 ? run_stmt(s, STMT_MIGRATE_UNLOCK) : r;
}

static int try_to_connect(struct session *s, const char *conninfo, uint64_t ms)
{
    s->failed = false;
    int r = db_io_open(&s->io, s->io.loop, conninfo, "picket migrate", STATEMENT_MS);
    if (r < 0) {
        (void)snprintf(s->report->message, sizeof s->report->message, "%s", s->io.why); /* both are of one size */
        return r;
    }
    wait_ms(s, ms); /* up, down or too late */
    if (s->failed)
        return -ERR_DB_AWAY;
    if (s->io.up)
        return 0;
    db_io_close(&s->io);
    (void)snprintf(s->report->message, sizeof s->report->message, "no answer while connecting");
    return -ERR_DB_AWAY;
}

static int connect_until(struct session *s, const char *conninfo, uint64_t until)
{
    for (;;) {
        uint64_t now = now_ms(s), left = until > now ? until - now : 0;
        int r = try_to_connect(s, conninfo, left + GRACE_MS < CONNECT_MS ? left + GRACE_MS : CONNECT_MS);
        if (r != -ERR_DB_AWAY)
            return r;
        if (now_ms(s) >= until)
            return -ERR_DB_AWAY;
        wait_ms(s, RETRY_MS);
    }
}

static void on_pause_closed(uv_handle_t *handle)
{
    container_of((uv_timer_t *)handle, struct session, pause)->settled = true;
}

/* As the pool would have made it. The schema is right, whatever becomes of this. */
static struct db_session *hand_over(struct session *s, const struct db_config *db)
{
    char statement_ms[16];
    (void)snprintf(statement_ms, sizeof statement_ms, "%u", db->query_ms);
    const char *const values[] = {db->application, statement_ms};
    bool ok = run_stmt(s, STMT_MIGRATE_DISCARD) == 0 && run(s, stmt_texts[STMT_MIGRATE_HAND_OVER].sql, 2, values) == 0;
    return ok && s->io.up ? db_io_release(&s->io) : NULL;
}

int db_migrate_for(uv_loop_t *loop, struct db_config *db, unsigned wait, struct db_progress *progress, struct db_migration_report *ret)
{
    *ret = (struct db_migration_report){0};
    struct session s = {.io = {.loop = loop, .on_up = on_up, .on_down = on_down, .on_input = on_input}, .report = ret};
    uv_timer_init(loop, &s.pause);
    uint64_t until = now_ms(&s) + wait;
    int r = connect_until(&s, db->conninfo, until);
    if (r == 0)
        r = upgrade(&s, until, progress);
    db->session = r == 0 && db->application ? hand_over(&s, db) : NULL;
    PQclear(s.result);
    db_io_close(&s.io);
    s.settled = false;
    uv_close((uv_handle_t *)&s.pause, on_pause_closed);
    settle(&s);
    return r;
}

int db_migrate(uv_loop_t *loop, const char *conninfo, unsigned wait, struct db_progress *progress, struct db_migration_report *ret)
{
    struct db_config db = {.conninfo = conninfo}; /* without a name: nobody goes on with the connection */
    return db_migrate_for(loop, &db, wait, progress, ret);
}

int db_schema_known(void)
{
    return stmt_n_migrations;
}
