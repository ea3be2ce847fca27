/* io.c: drives one PGconn by uv_poll.
 *
 * libpq may change the socket while it connects (several addresses, a second try), so the poll handle is closed before every PQconnectPoll
 * and made anew after it. Closing a handle takes it out of epoll at once; its memory is freed in the close callback. Output is flushed until
 * libpq has nothing left; while something is left the poll also waits for writability.
 *
 * When a connection breaks, libpq closes its socket inside whatever call notices, which may be a sending one, and the number may belong to
 * another thread's file a moment later. So the poll handle watches a duplicate of the socket, which is closed here, after the handle. A loss is
 * reported from a poll callback, or as the result of db_io_flush, never by a callback from the call that noticed it (A1). */
#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lookup.h"
#include "picket/base/error.h"
#include "picket/db/db.h"

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

static void stop_poll(struct db_io *io)
{
    if (!io->poll)
        return;
    uv_close((uv_handle_t *)TAKE_PTR(io->poll), on_closed); /* out of epoll at once */
    (void)close(io->fd);                                    /* the connection stays: it is libpq's */
}

void db_io_close(struct db_io *io)
{
    stop_poll(io);
    db_lookup_free(TAKE_PTR(io->lookup));
    PQfinish(TAKE_PTR(io->pg)); /* NULL is fine */
    io->up = false;
}

static void note_error(struct db_io *io)
{
    const char *text = PQerrorMessage(io->pg);
    if (!*text)
        text = "the connection is out of step";
    size_t n = strcspn(text, "\n");
    if (n >= sizeof io->why)
        n = sizeof io->why - 1;
    memcpy(io->why, text, n);
    io->why[n] = '\0';
}

void db_io_lost(struct db_io *io)
{
    if (io->pg)
        note_error(io);
    db_io_close(io);
    io->on_down(io);
}

static void on_connecting(uv_poll_t *poll, int status, int events);
static void on_ready(uv_poll_t *poll, int status, int events);

static int start_poll(struct db_io *io, int events, uv_poll_cb callback)
{
    stop_poll(io);
    AUTO_CLOSE int fd = fcntl(PQsocket(io->pg), F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    io->poll = malloc(sizeof *io->poll);
    if (!io->poll)
        abort();
    int r = uv_poll_init(io->loop, io->poll, fd);
    if (r < 0) {
        free(TAKE_PTR(io->poll));
        return r;
    }
    io->fd = TAKE_FD(fd);
    io->poll->data = io; /* the handle is not embedded in io (M3), so container_of cannot lead back */
    io->events = events;
    return uv_poll_start(io->poll, events, callback);
}

/* After a flush: waits for what is due, or stops watching a socket that is gone. */
static int watch(struct db_io *io, int left)
{
    if (left < 0 || PQsocket(io->pg) < 0 || PQstatus(io->pg) == CONNECTION_BAD) {
        stop_poll(io);
        return -ERR_DB_AWAY;
    }
    int events = UV_READABLE | (left > 0 ? UV_WRITABLE : 0);
    if (events == io->events)
        return 0;
    io->events = events;
    return uv_poll_start(io->poll, events, on_ready);
}

int db_io_flush(struct db_io *io)
{
    return watch(io, PQflush(io->pg));
}

static void became_up(struct db_io *io)
{
    if (PQsetnonblocking(io->pg, 1) != 0 || start_poll(io, UV_READABLE, on_ready) < 0) {
        db_io_lost(io);
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
            db_io_lost(io);
        break;
    case PGRES_POLLING_WRITING:
        if (start_poll(io, UV_WRITABLE, on_connecting) < 0)
            db_io_lost(io);
        break;
    case PGRES_POLLING_OK:
        became_up(io);
        break;
    case PGRES_POLLING_FAILED:
    case PGRES_POLLING_ACTIVE: /* unused by libpq */
        db_io_lost(io);
        break;
    }
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct db_io *io = poll->data;
    bool readable = events & UV_READABLE || status < 0;
    if (status < 0)
        io->events = 0; /* an error on the socket: libuv has stopped watching, and there may be data to read before the loss shows */
    if (readable && !PQconsumeInput(io->pg)) {
        db_io_lost(io);
        return;
    }
    if (db_io_flush(io) < 0)
        db_io_lost(io);
    else if (readable)
        io->on_input(io); /* last: io may be gone afterwards */
}

/* Notices would go to stderr: nobody acts on them, and migrations make many ("already exists, skipping"). */
static void drop_notice(void *arg, const PGresult *result)
{
    (void)arg;
    (void)result;
}

static int begin(struct db_io *io)
{
    io->pg = db_lookup_connect(io->lookup, io->application, io->statement_ms);
    db_lookup_free(TAKE_PTR(io->lookup));
    if (!io->pg)
        abort();                                          /* out of memory */
    (void)PQsetNoticeReceiver(io->pg, drop_notice, NULL); /* returns the one before */
    if (PQstatus(io->pg) != CONNECTION_BAD && start_poll(io, UV_WRITABLE, on_connecting) == 0)
        return 0;
    note_error(io);
    db_io_close(io);
    return -ERR_DB_AWAY;
}

static void on_lookup(void *owner, int r)
{
    struct db_io *io = owner;
    if (r < 0 || begin(io) < 0)
        db_io_lost(io);
}

int db_io_open(struct db_io *io, uv_loop_t *loop, const char *conninfo, const char *application, unsigned statement_ms)
{
    io->loop = loop;
    io->up = false;
    io->why[0] = '\0';
    io->application = application;
    io->statement_ms = statement_ms;
    int r = db_lookup_start(loop, conninfo, on_lookup, io, io->why, &io->lookup);
    if (r == LOOKUP_PENDING)
        return 0;
    return r < 0 ? r : begin(io);
}

/* ---- from one owner to another */

struct db_session *db_io_release(struct db_io *io)
{
    assert(io->up);
    struct db_session *session = malloc(sizeof *session);
    if (!session)
        abort();
    stop_poll(io);
    io->up = false;
    session->pg = TAKE_PTR(io->pg);
    return session;
}

int db_io_adopt(struct db_io *io, uv_loop_t *loop, struct db_session *session)
{
    io->loop = loop;
    io->why[0] = '\0';
    io->pg = TAKE_PTR(session->pg);
    db_session_close(session);
    int r = start_poll(io, UV_READABLE, on_ready);
    if (r < 0)
        db_io_close(io);
    else
        io->up = true;
    return r;
}

void db_session_close(struct db_session *session)
{
    if (session)
        PQfinish(session->pg); /* NULL is fine */
    free(session);
}
