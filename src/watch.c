/* watch.c: a look every CHECK_MS, which costs a small file and a stat in /proc.
 *
 * A private PostgreSQL that ended (killed for want of memory, say), or that did not start with this server, would otherwise be gone until
 * somebody starts Picket again, while the spool fills. Starting it may take as long as its recovery does, so that is done on a thread; one
 * that ends again and again is tried after a pause which doubles, from PAUSE_MIN_US, and which a server that stayed up for a while brings
 * back to nothing. The pools need not be told: each connects again by itself.
 *
 * The pool logs when it loses the database and when it has it back. What is told here is that it is still away, and how much has piled up. */
#include "watch.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>

#include "picket/base/clock.h"
#include "picket/base/error.h"
#include "picket/base/log.h"

enum { CHECK_MS = 250, RESTART_MS = 30000 };

#define PAUSE_MIN_US CLOCK_US_PER_S
#define PAUSE_MAX_US (60 * CLOCK_US_PER_S)
#define STABLE_US (60 * CLOCK_US_PER_S)
#define TELL_FIRST_US (10 * CLOCK_US_PER_S)
#define TELL_EVERY_US (60 * CLOCK_US_PER_S)

/* ---- the private server */

static void set_server(struct watch *w, enum watch_server to)
{
    static const unsigned edges[] = {
        [WATCH_UP] = 1U << WATCH_DOWN,
        [WATCH_DOWN] = 1U << WATCH_UP | 1U << WATCH_STARTING, /* up: somebody else started it */
        [WATCH_STARTING] = 1U << WATCH_UP | 1U << WATCH_DOWN,
    };
    assert(edges[atomic_load(&w->server)] & 1U << to);
    atomic_store(&w->server, to);
}

const char *watch_reason(const struct watch *w)
{
    return atomic_load(&w->server) == WATCH_UP ? NULL
                                               : "the private PostgreSQL does not run: see its log in the data directory (postgres/log)";
}

static void *restart(void *arg)
{
    struct watch *w = arg;
    w->result = db_cluster_restart(w->cluster, RESTART_MS, &w->why);
    uv_async_send(&w->home);
    return NULL;
}

static void lengthen_pause(struct watch *w)
{
    w->pause_us = w->pause_us ? w->pause_us * 2 : PAUSE_MIN_US;
    if (w->pause_us > PAUSE_MAX_US)
        w->pause_us = PAUSE_MAX_US;
    w->try_at_us = clock_mono_us() + w->pause_us;
}

static void begin_restart(struct watch *w)
{
    sigset_t all, before;
    (void)sigfillset(&all); /* signals are for the main thread */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(&w->thread, NULL, restart, w);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r == 0)
        set_server(w, WATCH_STARTING);
    else
        lengthen_pause(w);
}

static void on_home(uv_async_t *async)
{
    struct watch *w = container_of(async, struct watch, home);
    char path[512], why[512];
    if (atomic_load(&w->server) != WATCH_STARTING)
        return;
    (void)pthread_join(w->thread, NULL);
    set_server(w, w->result == 0 ? WATCH_UP : WATCH_DOWN);
    w->up_since_us = clock_mono_us();
    lengthen_pause(w);
    if (w->result == 0)
        log_line(LOG_INFO, "the private PostgreSQL runs again", "%s", "");
    else
        log_line(LOG_ERROR, "the private PostgreSQL does not come back", "error=%s reason=%s log=%s next_look_secs=%" PRId64,
                 err_name(w->result), log_quote(str_from(w->why), why, sizeof why),
                 log_quote(str_from(db_cluster_log(w->cluster)), path, sizeof path), w->pause_us / CLOCK_US_PER_S);
}

static void look_after_server(struct watch *w, int64_t now)
{
    char path[512];
    enum watch_server server = atomic_load(&w->server);
    if (server == WATCH_STARTING)
        return;
    if (db_cluster_runs(w->cluster)) {
        if (server == WATCH_DOWN)
            set_server(w, WATCH_UP);
        if (now - w->up_since_us > STABLE_US)
            w->pause_us = w->try_at_us = 0;
        return;
    }
    if (server == WATCH_UP) {
        log_line(LOG_ERROR, "the private PostgreSQL has ended: starting it again, events are spooled meanwhile", "log=%s",
                 log_quote(str_from(db_cluster_log(w->cluster)), path, sizeof path));
        set_server(w, WATCH_DOWN);
    }
    if (now >= w->try_at_us)
        begin_restart(w);
}

/* ---- any database */

static void look_after_connection(struct watch *w, int64_t now)
{
    if (db_connected(w->db)) {
        w->away_since_us = 0;
    } else if (w->away_since_us == 0) {
        w->away_since_us = now;
        w->tell_at_us = now + TELL_FIRST_US;
    } else if (now >= w->tell_at_us) {
        struct spool_stats stats;
        spool_stats(w->spool, &stats);
        log_line(LOG_WARN, "database is still away", "seconds=%" PRId64 " spooled_bytes=%" PRIu64,
                 (now - w->away_since_us) / CLOCK_US_PER_S, stats.bytes);
        w->tell_at_us = now + TELL_EVERY_US;
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct watch *w = container_of(timer, struct watch, timer);
    int64_t now = clock_mono_us();
    if (w->cluster)
        look_after_server(w, now);
    look_after_connection(w, now);
}

void watch_start(struct watch *w, uv_loop_t *loop)
{
    int r = uv_async_init(loop, &w->home, on_home);
    if (r == 0)
        r = uv_timer_init(loop, &w->timer);
    if (r == 0)
        r = uv_timer_start(&w->timer, on_timer, CHECK_MS, CHECK_MS);
    assert(r == 0); /* fails only when the process has no descriptor left for its first loop */
    w->running = true;
    w->up_since_us = clock_mono_us();
    if (w->cluster && !db_cluster_runs(w->cluster)) { /* the start has tried, and told */
        set_server(w, WATCH_DOWN);
        lengthen_pause(w);
    }
}

void watch_stop(struct watch *w)
{
    if (!w->running)
        return;
    w->running = false;
    if (atomic_load(&w->server) == WATCH_STARTING) {
        db_cluster_give_up(w->cluster);
        (void)pthread_join(w->thread, NULL);
        set_server(w, WATCH_DOWN);
    }
    uv_close((uv_handle_t *)&w->timer, NULL);
    uv_close((uv_handle_t *)&w->home, NULL);
}
