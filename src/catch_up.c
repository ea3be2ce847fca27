/* catch_up.c: db_migrate() turns a loop until it is done, so it gets a thread with a loop of its own, and is called again until the database
 * has answered and the schema is right. Whatever else fails (a standby, a lock, a migration that was cut) is passing here: events are being
 * accepted meanwhile, and only a schema that refuses this release can not be waited for. */
#include "catch_up.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

#include "picket/base/error.h"
#include "picket/base/log.h"

enum { ATTEMPT_MS = 1000, PAUSE_MS = 500 };

static bool is_final(int r, const struct db_migration_report *report)
{
    return r == 0 || report->min_release > db_schema_known();
}

static void tell(int r, const struct db_migration_report *report)
{
    char why[300];
    log_line(LOG_WARN, "the schema cannot be looked at yet: events are accepted, and digested later", "error=%s sqlstate=%s reason=%s",
             err_name(r), report->sqlstate[0] ? report->sqlstate : "-", log_quote(str_from(report->message), why, sizeof why));
}

static void on_pause(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

static void pause_briefly(uv_timer_t *timer, uv_loop_t *loop)
{
    uv_timer_start(timer, on_pause, PAUSE_MS, 0);
    uv_run(loop, UV_RUN_DEFAULT);
}

static void *run(void *arg)
{
    struct catch_up *c = arg;
    uv_loop_t loop;
    uv_timer_t timer;
    char told[sizeof c->report.message] = "";
    int r = uv_loop_init(&loop);
    assert(r == 0);
    uv_timer_init(&loop, &timer);
    for (;;) {
        r = db_migrate(&loop, c->conninfo, ATTEMPT_MS, c->progress, &c->report);
        if (is_final(r, &c->report) || atomic_load(&c->stop))
            break;
        if (!str_eq(str_from(told), str_from(c->report.message)))
            tell(r, &c->report); /* once per reason */
        memcpy(told, c->report.message, sizeof told);
        pause_briefly(&timer, &loop);
    }
    c->result = r;
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    r = uv_loop_close(&loop);
    assert(r == 0);
    uv_async_send(&c->home);
    return NULL;
}

static void end(struct catch_up *c)
{
    c->running = false;
    uv_close((uv_handle_t *)&c->home, NULL);
}

static void on_home(uv_async_t *async)
{
    struct catch_up *c = container_of(async, struct catch_up, home);
    (void)pthread_join(c->thread, NULL);
    end(c);
    c->done(c);
}

int catch_up_start(struct catch_up *c, uv_loop_t *loop)
{
    sigset_t all, before;
    int r = uv_async_init(loop, &c->home, on_home);
    if (r < 0)
        return r;
    (void)sigfillset(&all); /* signals are for the main thread */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    r = -pthread_create(&c->thread, NULL, run, c);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r < 0)
        uv_close((uv_handle_t *)&c->home, NULL);
    c->running = r == 0;
    return r;
}

bool catch_up_stop(struct catch_up *c, unsigned patience_ms)
{
    if (!c->running)
        return true;
    struct timespec until;
    atomic_store(&c->stop, true);
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += patience_ms / 1000;
    bool over = pthread_timedjoin_np(c->thread, NULL, &until) == 0;
    if (over)
        end(c);
    return over;
}
