/* db.h: PostgreSQL, asynchronously: a pool of connections per loop, prepared statements by name of their file under sql/queries/, one
 * callback per query. libpq and uv_poll live in src/db/ and nowhere else. Everything here belongs to the loop's thread.
 *
 * Statements are prepared on first use per connection; parameters and results travel in binary. A lost connection is re-made with
 * backoff for as long as the pool is open; queries that wait longer than acquire_ms fail with -ERR_DB_AWAY (nothing connected) or
 * -ERR_DB_BUSY, queries that run longer than query_ms with -ERR_DB_TIMEOUT. A query that was sent is never sent again by the pool: when its
 * connection is lost it ends with -ERR_DB_AWAY, and whether it took effect is not known. */
#pragma once

#include <uv.h>

#include "picket/base/buf.h"
#include "picket/base/id.h"
#include "picket/base/list.h"
#include "picket/base/metrics.h"
#include "stmts.h" /* made from sql/queries by sql/embed.py: enum db_stmt { STMT_PROJECT_LIST, … }, one per sql/queries/project_list.sql */

/* What a pool counts, in a metric_block() that outlives it: written by its loop's thread. */
struct db_counts {
    struct metric_counter waiting, refused; /* queries that wait now; that were told that too many do, or waited too long */
    struct metric_histogram waits;          /* from db_submit until sent, µs by the loop's clock, which goes by milliseconds */
};
struct db_reading { /* of several pools */
    uint64_t waiting, refused;
    struct metric_reading waits;
};
void db_collect(const struct db_counts *counts, struct db_reading *ret); /* adds */
struct db_pools {                                                        /* pools of one purpose, by its name */
    const char *name;
    struct db_reading reading;
};
void db_put_metrics(struct metric_text *t, const struct db_pools *pools, unsigned n);

struct db;
struct db_session; /* a connection on its way to a pool: made by db_migrate_for() */
struct db_config {
    const char *conninfo;          /* URL or key=value string; copied */
    const char *application;       /* application_name; copied */
    unsigned connections;          /* opened as needed, at most this many */
    unsigned waiting_max;          /* queries that may wait for a connection; beyond: -ERR_DB_BUSY */
    unsigned acquire_ms, query_ms; /* both above 0; query_ms is also sent as statement_timeout */
    unsigned idle_ms;              /* a connection unused for longer is closed, but the last one stays; 0: never */
    struct db_session *session;    /* its first connection, made for this config; NULL: none. Taken over, also when db_open() fails */
    struct db_counts *counts;      /* of this pool alone; NULL: nobody counts */
};

/* Returns at once and connects in the background. -EINVAL: conninfo is neither a URL nor key=value pairs. */
MUST_CHECK int db_open(uv_loop_t *loop, const struct db_config *config, struct db **ret);
/* Fails waiting queries with -ERR_DB_AWAY, lets running ones finish or time out, then closed() runs on the loop. */
void db_close(struct db *db, void (*closed)(void *arg), void *arg);
/* For whoever must not wait: all queries end with -ERR_DB_AWAY in the next turn, those under way, too, and those that are submitted from now on. Before
 * db_close(), idempotent. */
void db_give_up(struct db *db);
void db_session_close(struct db_session *session); /* one that no pool took over; NULL is fine */
uv_loop_t *db_loop(const struct db *db);
bool db_connected(const struct db *db);                    /* at least one connection is up */
bool db_answered_within(const struct db *db, uint64_t ms); /* a statement of this pool went well in the last `ms` */

/* ---- queries */
struct db_rows;
struct db_query;
typedef void db_done_fn(struct db_query *q, int r, const struct db_rows *rows);

enum { DB_MAX_PARAMS = 40, DB_SQLSTATE = 6, DB_MAX_CONSTRAINT = 64 };

struct db_query {
    enum db_stmt stmt;
    db_done_fn *done; /* exactly once, later, same loop; rows are valid during the call only. r: 0, or <0: -ERR_DB_AWAY, _BUSY, _TIMEOUT,
                                * _TRANSIENT (classes 40, 53, 57P, 08, 55P03), _CONFLICT (23505), _FAILED (the rest) */
    char sqlstate[DB_SQLSTATE];         /* "" unless the server reported an error */
    char constraint[DB_MAX_CONSTRAINT]; /* violated constraint's name or "" */
    struct db *db;                      /* private from here */
    struct list link;
    struct db_conn *conn;
    void *waiter; /* db_wait's */
    uint64_t deadline_ms;
    unsigned n_params;
    const char *values[DB_MAX_PARAMS];
    int lengths[DB_MAX_PARAMS];
    uint32_t types[DB_MAX_PARAMS];
    uint8_t scalars[DB_MAX_PARAMS][16];
};

/* A query is the caller's, embedded in its operation. Bound text and bytes are borrowed until done() or db_cancel(). */
void db_query_init(struct db_query *q, enum db_stmt stmt, db_done_fn *done);
void db_bind_null(struct db_query *q);
void db_bind_bool(struct db_query *q, bool v);
void db_bind_i16(struct db_query *q, int16_t v);
void db_bind_i32(struct db_query *q, int32_t v);
void db_bind_i64(struct db_query *q, int64_t v);
void db_bind_text(struct db_query *q, struct str v); /* well-formed UTF-8 without NUL */
void db_bind_bytes(struct db_query *q, struct str v);
void db_bind_id(struct db_query *q, const struct id128 *v); /* uuid */
void db_bind_time(struct db_query *q, int64_t wall_us);     /* timestamptz */

/* One-dimensional arrays, built in binary. Reusable: db_array_start clears and keeps the memory. */
enum db_type { DB_BOOL, DB_I16, DB_I32, DB_I64, DB_TEXT, DB_BYTES, DB_ID, DB_TIME, DB_INET };
struct db_array {
    enum db_type type;
    uint32_t count;
    bool has_null;
    struct buf buf;
};
void db_array_start(struct db_array *a, enum db_type type);
void db_array_done(struct db_array *a); /* frees */
void db_array_null(struct db_array *a);
void db_array_bool(struct db_array *a, bool v);
void db_array_i16(struct db_array *a, int16_t v);
void db_array_i32(struct db_array *a, int32_t v);
void db_array_i64(struct db_array *a, int64_t v);
void db_array_text(struct db_array *a, struct str v);
void db_array_bytes(struct db_array *a, struct str v);
void db_array_id(struct db_array *a, const struct id128 *v);
void db_array_time(struct db_array *a, int64_t wall_us);
void db_array_inet(struct db_array *a, const uint8_t addr[16]); /* v4-mapped addresses become IPv4; all zero: null */
void db_bind_array(struct db_query *q, struct db_array *a);     /* borrowed until done() */

void db_submit(struct db *db, struct db_query *q);
/* done() will not run any more and q may be freed; a statement already sent runs on and its result is dropped. Idempotent, fine on a
 * query that was never submitted (after db_query_init) or is done. */
void db_cancel(struct db_query *q);
bool db_is_sent(const struct db_query *q); /* to the server; before that it waits for a connection */
/* Runs the loop until the query is done and returns its result; for commands and start-up, never inside a callback. `seen` may be NULL. */
MUST_CHECK int db_wait(struct db *db, struct db_query *q, void (*seen)(void *arg, const struct db_rows *rows), void *arg);

/* ---- results: binary accessors that assert on a wrong column type, because the statement is ours */
int db_count(const struct db_rows *rows);
bool db_is_null(const struct db_rows *rows, int row, int col);
bool db_bool(const struct db_rows *rows, int row, int col);
int64_t db_i64(const struct db_rows *rows, int row, int col);      /* int2, int4, int8 */
struct str db_text(const struct db_rows *rows, int row, int col);  /* text, varchar, name, json, jsonb; null: p == NULL */
struct str db_bytes(const struct db_rows *rows, int row, int col); /* bytea */
struct id128 db_id(const struct db_rows *rows, int row, int col);
int64_t db_time(const struct db_rows *rows, int row, int col); /* wall µs; ±infinity clamp */
/* smallint[] without nulls: element i. */
int db_i16_count(const struct db_rows *rows, int row, int col);
int16_t db_i16_at(const struct db_rows *rows, int row, int col, int i);

/* ---- LISTEN on a connection of its own; `listen` is a LISTEN statement under sql/queries (names of channels are SQL, not parameters) */
struct db_listener;
struct db_listener_events {
    void (*notified)(void *arg, struct str channel, struct str payload);
    void (*connected)(void *arg, bool up); /* true after every (re)connect: what was sent meanwhile was missed, so reload */
    void *arg;
};
/* Connects in the background, for ever. -EINVAL: conninfo is malformed. */
MUST_CHECK int db_listen(uv_loop_t *loop, const char *conninfo, enum db_stmt listen, const struct db_listener_events *events,
                         struct db_listener **ret);
void db_unlisten(struct db_listener *l, void (*closed)(void *arg), void *arg);
