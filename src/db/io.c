/* io.c: drives one PGconn by uv_poll.
 *
 * libpq may change the socket while it connects (several addresses, a second try), so the poll handle is closed before every PQconnectPoll
 * and made anew after it. Closing a handle takes it out of epoll at once; its memory is freed in the close callback. Output is flushed until
 * libpq has nothing left; while something is left the poll also waits for writability.
 *
 * A lost connection is reported from a poll callback, never from the call that noticed it (A1): db_io_flush leaves the socket's error to
 * the next readable event. */
#include "io.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "picket/base/error.h"

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

static void stop_poll(struct db_io *io)
{
    if (io->poll)
        uv_close((uv_handle_t *)TAKE_PTR(io->poll), on_closed);
}

void db_io_close(struct db_io *io)
{
    stop_poll(io);
    if (io->pg)
        PQfinish(io->pg);
    io->pg = NULL;
    io->up = false;
}

static void note_error(struct db_io *io)
{
    const char *text = PQerrorMessage(io->pg);
    size_t n = strcspn(text, "\n");
    if (n >= sizeof io->why)
        n = sizeof io->why - 1;
    memcpy(io->why, text, n);
    io->why[n] = '\0';
}

static void go_down(struct db_io *io)
{
    note_error(io);
    db_io_close(io);
    io->on_down(io);
}

static void on_connecting(uv_poll_t *poll, int status, int events);
static void on_ready(uv_poll_t *poll, int status, int events);

static int start_poll(struct db_io *io, int events, uv_poll_cb callback)
{
    stop_poll(io);
    io->poll = malloc(sizeof *io->poll);
    if (!io->poll)
        abort();
    int r = uv_poll_init(io->loop, io->poll, PQsocket(io->pg));
    if (r < 0) {
        free(TAKE_PTR(io->poll));
        return r;
    }
    io->poll->data = io; /* the handle is not embedded in io (M3), so container_of cannot lead back */
    return uv_poll_start(io->poll, events, callback);
}

static void watch(struct db_io *io, bool writable)
{
    int r = uv_poll_start(io->poll, UV_READABLE | (writable ? UV_WRITABLE : 0), on_ready);
    assert(r == 0);
}

static void became_up(struct db_io *io)
{
    if (PQsetnonblocking(io->pg, 1) != 0 || start_poll(io, UV_READABLE, on_ready) < 0) {
        go_down(io);
        return;
    }
    io->up = true;
    io->on_up(io);
}

static void on_connecting(uv_poll_t *poll, int status, int events)
{
    (void)status; /* libpq sees the socket's state itself */
    (void)events;
    struct db_io *io = poll->data;
    stop_poll(io);
    switch (PQconnectPoll(io->pg)) {
    case PGRES_POLLING_READING:
        if (start_poll(io, UV_READABLE, on_connecting) < 0)
            go_down(io);
        break;
    case PGRES_POLLING_WRITING:
        if (start_poll(io, UV_WRITABLE, on_connecting) < 0)
            go_down(io);
        break;
    case PGRES_POLLING_OK:
        became_up(io);
        break;
    case PGRES_POLLING_FAILED:
    case PGRES_POLLING_ACTIVE: /* unused by libpq */
        go_down(io);
        break;
    }
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    (void)status;
    struct db_io *io = poll->data;
    if ((events & UV_READABLE || status < 0) && !PQconsumeInput(io->pg)) {
        go_down(io);
        return;
    }
    int left = PQflush(io->pg);
    if (left < 0) {
        go_down(io);
        return;
    }
    watch(io, left > 0);
    if (events & UV_READABLE)
        io->on_input(io); /* last: io may be gone afterwards */
}

void db_io_flush(struct db_io *io)
{
    int left = PQflush(io->pg);
    watch(io, left > 0); /* left < 0: the connection is broken and reads as end of file */
}

int db_io_open(struct db_io *io, uv_loop_t *loop, const char *conninfo, const char *application, unsigned statement_ms)
{
    char options[128];
    (void)snprintf(options, sizeof options, "-c statement_timeout=%u -c TimeZone=UTC -c client_min_messages=warning", statement_ms); /* fits */
    const char *const keys[] = {"dbname", "client_encoding", "fallback_application_name", "options", NULL};
    const char *const values[] = {conninfo, "UTF8", application, options, NULL};
    io->loop = loop;
    io->up = false;
    io->why[0] = '\0';
    io->pg = PQconnectStartParams(keys, values, 1);
    if (!io->pg)
        return -ENOMEM;
    if (PQstatus(io->pg) != CONNECTION_BAD && start_poll(io, UV_WRITABLE, on_connecting) == 0)
        return 0;
    note_error(io);
    db_io_close(io);
    return -ERR_DB_AWAY;
}
