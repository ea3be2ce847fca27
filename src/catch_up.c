/* catch_up.c: db_migrate_for() turns a loop until it is done, so it gets a thread with a loop of its own, and is called again until the database
 * has answered and the schema is right. Whatever else fails (a standby, a lock, a migration that was cut) is passing here: events are being
 * accepted meanwhile, and only a schema that refuses this release, or an address that cannot be read, can not be waited for.
 *
 *            ┌──────────────► AWAY, LOCKED, REFUSED ◄─────────┐            each of them again, and each of the others
 *   OFF ─► LOOKING ─────────────► MIGRATING ──────────────────┤
 *            └──────────────► READY, HOPELESS ◄───────────────┘            and from all of these to OFF, when the thread is joined and done()
 *                                                                          has returned, or will not be called any more
 *
 * The thread sets the state while it runs, the main thread before and afterwards; anybody may read it. A start looks at it for a moment (catch_up_wait)
 * before it goes on without the database; a migration that takes long goes on then, too: only others are not waited for (migrate.c).
 * Attempts follow each other after PAUSE_MS. A migration that failed may have taken long and fail for long: its pause doubles. */
#include "catch_up.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "picket/base/error.h"
#include "picket/base/log.h"

enum { ATTEMPT_MS = 1000, PAUSE_MS = 500, PAUSE_MAX_MS = 30000 };

/* ---- the state */

#define BIT(state) (1U << CATCH_UP_##state)
#define LASTING (BIT(AWAY) | BIT(LOCKED) | BIT(REFUSED))
#define ENDING (BIT(READY) | BIT(HOPELESS))

static void set_state(struct catch_up *c, enum catch_up_state to)
{
    static const unsigned edges[] = {
        [CATCH_UP_OFF] = BIT(LOOKING),
        [CATCH_UP_LOOKING] = LASTING | BIT(MIGRATING) | ENDING | BIT(OFF),
        [CATCH_UP_AWAY] = LASTING | BIT(MIGRATING) | ENDING | BIT(OFF),
        [CATCH_UP_LOCKED] = LASTING | BIT(MIGRATING) | ENDING | BIT(OFF),
        [CATCH_UP_REFUSED] = LASTING | BIT(MIGRATING) | ENDING | BIT(OFF),
        [CATCH_UP_MIGRATING] = LASTING | BIT(MIGRATING) | ENDING,
        [CATCH_UP_READY] = BIT(OFF),
        [CATCH_UP_HOPELESS] = BIT(OFF),
    };
    assert(edges[atomic_load(&c->state)] & 1U << to);
    atomic_store(&c->state, to);
}

const char *catch_up_reason(const struct catch_up *c)
{
    static const char *const reasons[] = {
        [CATCH_UP_OFF] = NULL,
        [CATCH_UP_LOOKING] = "the schema of the database is being looked at",
        [CATCH_UP_AWAY] = "the database does not answer",
        [CATCH_UP_LOCKED] = "the schema of the database is being migrated by somebody else, or locked",
        [CATCH_UP_REFUSED] = "the database refuses to have its schema looked at or migrated: the server's log has its words",
        [CATCH_UP_MIGRATING] = "the schema of the database is being migrated",
        [CATCH_UP_READY] = "the digest is about to begin",
        [CATCH_UP_HOPELESS] = "the database cannot be used by this release",
    };
    return reasons[atomic_load(&c->state)];
}

static bool is_final(int r, const struct db_migration_report *report)
{
    return r == 0 || r == -EINVAL || report->min_release > db_schema_known();
}

static enum catch_up_state state_after(int r, const struct db_migration_report *report)
{
    if (is_final(r, report))
        return r == 0 ? CATCH_UP_READY : CATCH_UP_HOPELESS;
    return r == -ERR_DB_AWAY ? CATCH_UP_AWAY : r == -ERR_DB_BUSY ? CATCH_UP_LOCKED : CATCH_UP_REFUSED;
}

/* ---- its thread */

struct attempt {
    uv_loop_t loop;
    uv_timer_t timer;
    struct catch_up *c;
    unsigned pause_ms;
    char told[sizeof((struct db_migration_report *)NULL)->message]; /* each reason once */
};

static void tell(struct attempt *a, int r)
{
    char why[300];
    const struct db_migration_report *report = &a->c->report;
    if (str_eq(str_from(a->told), str_from(report->message)))
        return;
    (void)snprintf(a->told, sizeof a->told, "%s", report->message);
    log_line(report->failed ? LOG_ERROR : LOG_WARN, "the schema cannot be looked at yet: events are accepted, and digested later",
             "error=%s sqlstate=%s migration=%d reason=%s", err_name(r), report->sqlstate[0] ? report->sqlstate : "-", report->failed,
             log_quote(str_from(report->message), why, sizeof why));
}

static void on_pause(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

/* In steps, because a long one must not be waited for when the server stops. */
static void rest(struct attempt *a)
{
    a->pause_ms = a->c->report.failed && a->pause_ms ? a->pause_ms * 2 : PAUSE_MS;
    if (a->pause_ms > PAUSE_MAX_MS)
        a->pause_ms = PAUSE_MAX_MS;
    for (unsigned ms = 0; ms < a->pause_ms && !atomic_load(&a->c->stop); ms += PAUSE_MS) {
        uv_timer_start(&a->timer, on_pause, PAUSE_MS, 0);
        uv_run(&a->loop, UV_RUN_DEFAULT);
    }
}

static void *run(void *arg)
{
    struct attempt a = {.c = arg};
    struct catch_up *c = a.c;
    AUTO_FREE char *conninfo = strdup(c->db.conninfo); /* whoever owns it may not wait for this thread's end */
    struct db_config db = c->db;
    db.conninfo = conninfo;
    int r = conninfo ? uv_loop_init(&a.loop) : -ENOMEM;
    assert(r == 0);
    uv_timer_init(&a.loop, &a.timer);
    for (;;) {
        r = db_migrate_for(&a.loop, &db, ATTEMPT_MS, &c->progress, &c->report);
        c->db.session = db.session;
        set_state(c, state_after(r, &c->report));
        if (is_final(r, &c->report) || atomic_load(&c->stop))
            break;
        uv_async_send(&c->home);
        tell(&a, r);
        rest(&a);
    }
    c->result = r;
    uv_close((uv_handle_t *)&a.timer, NULL);
    uv_run(&a.loop, UV_RUN_DEFAULT);
    r = uv_loop_close(&a.loop);
    assert(r == 0);
    uv_async_send(&c->home);
    return NULL;
}

static void on_migrating(struct db_progress *p, int number, const char *name)
{
    set_state(container_of(p, struct catch_up, progress), CATCH_UP_MIGRATING);
    log_line(LOG_INFO, "migrating the schema", "number=%d name=%s", number, name);
}

/* ---- the main thread */

static bool is_in(const struct catch_up *c, unsigned states)
{
    return states & 1U << atomic_load(&c->state);
}

/* After the thread's end. */
static void end(struct catch_up *c)
{
    c->joinable = false;
    uv_close((uv_handle_t *)&c->home, NULL);
    uv_close((uv_handle_t *)&c->limit, NULL);
}

static void on_home(uv_async_t *async)
{
    struct catch_up *c = container_of(async, struct catch_up, home);
    if (!is_in(c, ENDING)) /* an attempt failed: who waits looks for itself */
        return;
    (void)pthread_join(c->thread, NULL);
    end(c);
    if (c->done) {
        db_session_close(TAKE_PTR(c->db.session));
        c->done(c);
    }
    set_state(c, CATCH_UP_OFF);
}

int catch_up_start(struct catch_up *c, uv_loop_t *loop)
{
    sigset_t all, before;
    int r = uv_async_init(loop, &c->home, on_home);
    if (r < 0)
        return r;
    uv_timer_init(loop, &c->limit);
    c->progress.migrating = on_migrating;
    set_state(c, CATCH_UP_LOOKING);
    (void)sigfillset(&all); /* signals are for the main thread */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    r = -pthread_create(&c->thread, NULL, run, c);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    c->joinable = r == 0;
    if (r < 0) {
        end(c);
        set_state(c, CATCH_UP_OFF);
    }
    return r;
}

static void on_limit(uv_timer_t *timer)
{
    (void)timer; /* is not active any more */
}

bool catch_up_wait(struct catch_up *c, uv_loop_t *loop, unsigned wait_ms, enum catch_up_patience patience, const bool *stopping)
{
    unsigned enough = patience == CATCH_UP_ONE_TRY ? LASTING : 0;
    uv_timer_start(&c->limit, on_limit, wait_ms, 0);
    while (c->joinable && uv_is_active((const uv_handle_t *)&c->limit) && !*stopping && !is_in(c, enough))
        uv_run(loop, UV_RUN_ONCE);
    return !c->joinable;
}

bool catch_up_stop(struct catch_up *c, unsigned patience_ms)
{
    if (!c->joinable)
        return true;
    struct timespec until;
    atomic_store(&c->stop, true);
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += patience_ms / 1000;
    if (pthread_timedjoin_np(c->thread, NULL, &until) != 0)
        return false;
    end(c);
    db_session_close(TAKE_PTR(c->db.session));
    set_state(c, CATCH_UP_OFF);
    return true;
}
