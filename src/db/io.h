/* io.h: one libpq connection on a loop: connecting, waiting for the socket, flushing. The only place where uv_poll meets libpq (style A7).
 * Private to db. Lives inside its owner; the poll handle is heap memory of its own, because closing it outlives the owner's decision. */
#pragma once

#include <stdbool.h>

#include <libpq-fe.h>
#include <uv.h>

#include "picket/base/macros.h"

struct db_lookup;
struct db_io {
    uv_loop_t *loop;
    PGconn *pg;               /* NULL: closed, or host names are being resolved */
    struct db_lookup *lookup; /* owned; while host names are being resolved */
    const char *application;  /* borrowed while connecting */
    unsigned statement_ms;
    uv_poll_t *poll;
    int fd;                             /* what poll watches: a duplicate of libpq's socket; open while poll is there */
    int events;                         /* what poll waits for */
    bool up;                            /* connected */
    void (*on_up)(struct db_io *io);    /* connected; never inside db_io_open */
    void (*on_down)(struct db_io *io);  /* connecting failed or the connection is lost; already closed; io->why says it */
    void (*on_input)(struct db_io *io); /* input was consumed: look for results and notifications */
    char why[256];
};

/* Starts connecting. <0 (with io->why) when that fails at once. The callbacks are set by the caller before. */
MUST_CHECK int db_io_open(struct db_io *io, uv_loop_t *loop, const char *conninfo, const char *application, unsigned statement_ms);
/* Sends what libpq has queued; call after PQsend*. -ERR_DB_AWAY when the connection turned out to be lost: on_down will not come, the
 * caller closes it. */
MUST_CHECK int db_io_flush(struct db_io *io);
/* For on_input: what was read broke the connection. Closes and calls on_down; the last thing on_input does. */
void db_io_lost(struct db_io *io);
void db_io_close(struct db_io *io); /* idempotent; no callback runs afterwards */

/* A connection that is up, in nobody's hands: no loop watches it. Heap. */
struct db_session {
    PGconn *pg;
};
/* Takes the connection, which is up and has nothing under way, out of its owner's hands; the io is closed then. */
struct db_session *db_io_release(struct db_io *io);
/* The other way round, on any loop, in place of db_io_open: frees the session. 0: it is up, and on_up is not called. <0: closed, as is the connection. */
MUST_CHECK int db_io_adopt(struct db_io *io, uv_loop_t *loop, struct db_session *session);
