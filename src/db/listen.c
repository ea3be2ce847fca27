/* listen.c: LISTEN on a connection of its own, so that a notification never waits behind a statement. Reconnects for ever, every RETRY_MS; after
 * each connect the owner is told, because what was sent meanwhile is gone. */
#include <errno.h>
#include <stdio.h>

#include "io.h"
#include "lookup.h"
#include "picket/base/error.h"
#include "picket/db/db.h"
#include "stmts_text.h"

enum { RETRY_MS = 1000, CONNECT_MS = 10000 };

struct db_listener {
    struct db_io io;
    uv_timer_t timer; /* the next attempt, or the end of this one's patience */
    struct db_listener_events events;
    char *conninfo;
    enum db_stmt listen;
    bool listening;
    void (*closed)(void *arg);
    void *closed_arg;
};

static void connect_now(struct db_listener *l);

static void on_timer(uv_timer_t *timer)
{
    struct db_listener *l = container_of(timer, struct db_listener, timer);
    db_io_close(&l->io); /* a connect that took too long */
    connect_now(l);
}

static void retry(struct db_listener *l)
{
    bool was = l->listening;
    l->listening = false;
    uv_timer_start(&l->timer, on_timer, RETRY_MS, 0);
    if (was)
        l->events.connected(l->events.arg, false);
}

static void on_down(struct db_io *io)
{
    retry(container_of(io, struct db_listener, io));
}

static void on_up(struct db_io *io)
{
    struct db_listener *l = container_of(io, struct db_listener, io);
    if (!PQsendQuery(io->pg, stmt_texts[l->listen].sql) || db_io_flush(io) < 0) {
        db_io_close(io);
        retry(l);
    }
}

static void take_notifications(struct db_listener *l)
{
    for (PGnotify *n; l->io.pg && (n = PQnotifies(l->io.pg));) {
        l->events.notified(l->events.arg, str_from(n->relname), str_from(n->extra));
        PQfreemem(n);
    }
}

static void on_input(struct db_io *io)
{
    struct db_listener *l = container_of(io, struct db_listener, io);
    bool failed = false, answered = false;
    while (!PQisBusy(io->pg)) {
        PGresult *result = PQgetResult(io->pg);
        if (!result)
            break;
        answered = true;
        failed = failed || PQresultStatus(result) != PGRES_COMMAND_OK;
        PQclear(result);
    }
    if (failed) {
        db_io_close(io);
        retry(l);
        return;
    }
    if (answered && !l->listening) {
        l->listening = true;
        uv_timer_stop(&l->timer);
        l->events.connected(l->events.arg, true);
    }
    take_notifications(l);
}

static void connect_now(struct db_listener *l)
{
    uv_timer_start(&l->timer, on_timer, CONNECT_MS, 0);
    if (db_io_open(&l->io, uv_handle_get_loop((uv_handle_t *)&l->timer), l->conninfo, "picket listener", CONNECT_MS) < 0)
        retry(l);
}

int db_listen(uv_loop_t *loop, const char *conninfo, enum db_stmt listen, const struct db_listener_events *events, struct db_listener **ret)
{
    if (!db_lookup_valid(conninfo))
        return -EINVAL;
    struct db_listener *l = calloc(1, sizeof *l);
    if (!l)
        return -ENOMEM;
    l->events = *events;
    l->conninfo = strdup(conninfo);
    if (!l->conninfo)
        abort();
    l->listen = listen;
    l->io.on_up = on_up;
    l->io.on_down = on_down;
    l->io.on_input = on_input;
    uv_timer_init(loop, &l->timer);
    uv_timer_start(&l->timer, on_timer, 0, 0);
    *ret = l;
    return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct db_listener *l = container_of((uv_timer_t *)handle, struct db_listener, timer);
    void (*closed)(void *) = l->closed;
    void *arg = l->closed_arg;
    free(l->conninfo);
    free(l);
    closed(arg);
}

void db_unlisten(struct db_listener *l, void (*closed)(void *arg), void *arg)
{
    l->closed = closed;
    l->closed_arg = arg;
    db_io_close(&l->io);
    uv_close((uv_handle_t *)&l->timer, on_timer_closed);
}
