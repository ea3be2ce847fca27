/* pool.c: a loop's connections and the queries that wait for one.
 *
 * A query goes out at once when a connection is idle, else it waits in line, bounded in number and in time. Every statement is prepared on
 * its first use per connection: Parse, Bind, Execute and Sync travel in one flight (libpq's pipeline mode), so a first use costs no extra
 * round trip. One statement is under way per connection: a batch or a page is one statement, and a second one behind it would only wait in
 * a place where it cannot time out.
 *
 * Connections: every one is on the list of its state, and only conn_set_state() moves it.
 *
 *     CONNECTING → IDLE ⇄ BUSY            any → GONE (closed; freed at the end of the turn by the timer)
 *
 * One is kept connected, or being connected, as long as the pool is open; the first may be given to it (config.session). Attempts that fail are
 * repeated with a pause that doubles from BACKOFF_MIN_MS to BACKOFF_MAX_MS. A query that was sent is never sent again: whether it took effect is the caller's to know. A connection
 * whose state is unknown or of no more use (out of step, too late, prepared statements outdated by a change of the schema, a server that turned
 * read-only) is closed, not mended.
 *
 * The types of a statement's parameters are settled when it is prepared. A null is bound without a type, so that the server infers one; a later
 * call that binds a value of another type prepares the statement again under a new name, and nulls then go with the type that is known.
 *
 * The server keeps plans, and one made while a table was nearly empty may be the worst one for the table that it becomes: all its indexes cost the
 * same then. Statements of ours are written so that only one index serves (0002_digest_batch.sql), but those of foreign keys are the server's: one
 * that goes over (project_id, number) of issues reads all issues of the project for each new one, until the first ANALYZE, a minute later. So a
 * connection has its plans made anew before its 2nd, 4th, 8th, … statement: a bad one lasts only as long again as it took to come to it.
 *
 * Callbacks run from socket events and from the one timer, never inside db_submit or db_cancel. */
#include <errno.h>
#include <stdio.h>

#include "io.h"
#include "lookup.h"
#include "picket/base/error.h"
#include "picket/base/log.h"
#include "rows.h"
#include "stmts_text.h"

enum {
    CONNECT_MS = 10000,
    QUERY_GRACE_MS = 2000, /* beyond query_ms: by then the server's own statement_timeout should have answered */
    BACKOFF_MIN_MS = 50,
    BACKOFF_MAX_MS = 5000,
};

enum conn_state { CONN_CONNECTING, CONN_IDLE, CONN_BUSY, CONN_GONE, CONN_STATES };

static const unsigned conn_edges[CONN_STATES] = {
    [CONN_CONNECTING] = 1u << CONN_IDLE | 1u << CONN_GONE,
    [CONN_IDLE] = 1u << CONN_BUSY | 1u << CONN_GONE,
    [CONN_BUSY] = 1u << CONN_IDLE | 1u << CONN_GONE,
    [CONN_GONE] = 0,
};

struct prepared {
    bool ready;
    unsigned generation; /* part of the name on the server */
    unsigned n_types;
    uint32_t *types; /* heap */
};

struct db_conn {
    struct db *db;
    struct list link;
    enum conn_state state;
    struct db_io io;
    uint64_t since_ms;      /* when the state began */
    struct db_query *query; /* BUSY; NULL when it was cancelled */
    enum db_stmt stmt;      /* of the statement under way */
    PGresult *result;       /* the statement's own result, until the sync arrives */
    uint64_t n_sent;        /* statements */
    bool renewing;          /* what comes until the next sync is of discarding plans: a transaction of its own, some statements want one */
    bool renewed;           /* its result was there: what comes next is the sync */
    bool preparing;         /* the next result of the statement is the Parse's */
    bool reused;            /* the flight has no Parse */
    bool broken;            /* sending failed: closed by the timer */
    size_t said;            /* how long libpq's message was when it gave the last result */
    struct prepared prepared[STMT_COUNT];
};

struct db {
    uv_loop_t *loop;
    struct db_config config;
    char *conninfo, *application;
    struct list conns[CONN_STATES];
    unsigned n_conns;             /* not GONE */
    struct list waiting, refused; /* refused: too many waited; told in the next turn */
    unsigned n_waiting;
    uv_timer_t timer;
    uint64_t backoff_ms, connect_at_ms;
    uint64_t answered_ms; /* when a statement went well last; 0: never */
    bool lost;            /* the last attempt failed: said once */
    bool closing;
    bool given_up;             /* closing, and what is under way is not waited for */
    void (*closed)(void *arg); /* NULL: not asked for yet */
    void *closed_arg;
};

static void pump(struct db *db);

static void conn_set_state(struct db_conn *c, enum conn_state to)
{
    assert(conn_edges[c->state] & 1u << to);
    list_remove(&c->link);
    list_push_front(&c->db->conns[to], &c->link); /* the one used last is used first, so that surplus ones grow old */
    c->state = to;
    c->since_ms = uv_now(c->db->loop);
}

static struct db_conn *first_conn(struct db *db, enum conn_state state)
{
    struct list *l = list_first(&db->conns[state]);
    return l ? container_of(l, struct db_conn, link) : NULL;
}

/* ---- ending queries */

/* Detaches first: done() may submit or cancel anything, or free the query. */
static void finish(struct db_query *q, int r, const struct db_rows *rows)
{
    list_remove(&q->link);
    q->conn = NULL;
    q->db = NULL;
    q->done(q, r, rows);
}

static void conn_gone(struct db_conn *c, int r)
{
    struct db *db = c->db;
    struct db_query *q = c->query;
    c->query = NULL;
    db_io_close(&c->io);
    PQclear(TAKE_PTR(c->result));
    conn_set_state(c, CONN_GONE);
    db->n_conns--;
    if (q)
        finish(q, r, NULL);
}

static void free_gone(struct db *db)
{
    for (struct list *l; (l = list_pop(&db->conns[CONN_GONE]));) {
        struct db_conn *c = container_of(l, struct db_conn, link);
        for (unsigned i = 0; i < STMT_COUNT; i++)
            free(c->prepared[i].types);
        free(c);
    }
}

/* ---- the one timer */

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static bool wants_connection(const struct db *db)
{
    if (db->closing || db->n_conns >= db->config.connections)
        return false;
    return db->n_conns == 0 || (!list_empty(&db->waiting) && list_empty(&db->conns[CONN_IDLE]) && list_empty(&db->conns[CONN_CONNECTING]));
}

/* Of no use any more, whatever the time. */
static bool is_over(const struct db_conn *c)
{
    return c->broken || c->db->given_up || (c->db->closing && (c->state != CONN_BUSY || !c->query));
}

static uint64_t conn_deadline(const struct db_conn *c)
{
    const struct db *db = c->db;
    if (is_over(c))
        return 0;
    switch (c->state) {
    case CONN_CONNECTING:
        return c->since_ms + CONNECT_MS;
    case CONN_BUSY:
        return c->since_ms + db->config.query_ms + QUERY_GRACE_MS;
    case CONN_IDLE:
        return db->config.idle_ms && db->n_conns > 1 ? c->since_ms + db->config.idle_ms : UINT64_MAX;
    case CONN_GONE:
    case CONN_STATES:
        break;
    }
    return UINT64_MAX;
}

static void on_timer(uv_timer_t *timer);

static void arm(struct db *db)
{
    if (db->config.counts)
        metric_set(&db->config.counts->waiting, db->n_waiting);
    if (uv_is_closing((uv_handle_t *)&db->timer))
        return;
    uint64_t now = uv_now(db->loop), at = UINT64_MAX;
    if (!list_empty(&db->refused) || !list_empty(&db->conns[CONN_GONE]) || (db->closing && !list_empty(&db->waiting)) ||
        (db->closed && db->n_conns == 0))
        at = now;
    struct list *l = list_first(&db->waiting);
    if (l)
        at = earlier(at, container_of(l, struct db_query, link)->deadline_ms); /* all wait equally long: the first is due first */
    for (unsigned s = 0; s < CONN_GONE; s++)
        LIST_EACH(&db->conns[s], it)
            at = earlier(at, conn_deadline(container_of(it, struct db_conn, link)));
    if (wants_connection(db))
        at = earlier(at, db->connect_at_ms);
    if (at == UINT64_MAX)
        uv_timer_stop(&db->timer);
    else
        uv_timer_start(&db->timer, on_timer, at > now ? at - now : 0, 0);
}

/* ---- connecting */

static void back_off(struct db *db, const char *why)
{
    db->backoff_ms = db->backoff_ms ? earlier(db->backoff_ms * 2, BACKOFF_MAX_MS) : BACKOFF_MIN_MS;
    db->connect_at_ms = uv_now(db->loop) + db->backoff_ms;
    if (db->lost || db->closing || db_connected(db))
        return;
    db->lost = true;
    char name[64], reason[256];
    log_line(LOG_WARN, "database is away", "application=%s reason=%s", log_quote(str_from(db->application), name, sizeof name),
             log_quote(str_from(why), reason, sizeof reason));
}

static void on_up(struct db_io *io)
{
    struct db_conn *c = container_of(io, struct db_conn, io);
    struct db *db = c->db;
    if (!PQenterPipelineMode(io->pg)) {
        conn_gone(c, -ERR_DB_AWAY);
        back_off(db, "pipeline mode refused");
    } else {
        char name[64];
        if (db->lost)
            log_line(LOG_INFO, "database is back", "application=%s", log_quote(str_from(db->application), name, sizeof name));
        db->lost = false;
        db->backoff_ms = 0;
        conn_set_state(c, CONN_IDLE);
    }
    pump(db);
}

static void on_down(struct db_io *io)
{
    struct db_conn *c = container_of(io, struct db_conn, io);
    struct db *db = c->db;
    bool was_connecting = c->state == CONN_CONNECTING;
    char why[sizeof io->why];
    memcpy(why, io->why, sizeof why);
    conn_gone(c, -ERR_DB_AWAY);
    if (was_connecting || db->n_conns == 0)
        back_off(db, why);
    pump(db);
}

static void on_input(struct db_io *io);

static struct db_conn *conn_new(struct db *db)
{
    struct db_conn *c = calloc(1, sizeof *c);
    if (!c)
        abort();
    c->db = db;
    c->state = CONN_CONNECTING;
    c->since_ms = uv_now(db->loop);
    c->io.on_up = on_up;
    c->io.on_down = on_down;
    c->io.on_input = on_input;
    list_init(&c->link);
    list_push_back(&db->conns[CONN_CONNECTING], &c->link);
    db->n_conns++;
    return c;
}

static void connect_one(struct db *db)
{
    struct db_conn *c = conn_new(db);
    int r = db_io_open(&c->io, db->loop, db->conninfo, db->application, db->config.query_ms);
    if (r < 0) {
        conn_gone(c, r);
        back_off(db, c->io.why);
    }
}

/* The pool is being opened. What cannot be gone on with is as good as lost. */
static void begin_with(struct db *db, struct db_session *session)
{
    struct db_conn *c = conn_new(db);
    if (db_io_adopt(&c->io, db->loop, session) < 0)
        conn_gone(c, -ERR_DB_AWAY);
    else
        on_up(&c->io);
}

/* ---- sending and receiving */

static bool is_prepared(const struct prepared *p, const struct db_query *q)
{
    bool fits = p->ready && p->n_types == q->n_params;
    for (unsigned i = 0; fits && i < q->n_params; i++)
        fits = q->types[i] == 0 || q->types[i] == p->types[i];
    return fits;
}

static void prepare_anew(struct prepared *p, const struct db_query *q)
{
    uint32_t *types = calloc(q->n_params + 1, sizeof *types); /* + 1: never asks for nothing */
    if (!types)
        abort();
    for (unsigned i = 0; i < q->n_params; i++)
        types[i] = q->types[i] ? q->types[i] : i < p->n_types ? p->types[i] : 0;
    free(p->types);
    *p = (struct prepared){.generation = p->generation + 1, .n_types = q->n_params, .types = types};
}

static bool send_statement(struct db_conn *c, const struct db_query *q)
{
    static const int binary[DB_MAX_PARAMS] = {[0 ... DB_MAX_PARAMS - 1] = 1};
    const struct stmt_text *text = &stmt_texts[q->stmt];
    struct prepared *p = &c->prepared[q->stmt];
    PGconn *pg = c->io.pg;
    c->reused = is_prepared(p, q);
    c->preparing = !c->reused;
    if (c->preparing)
        prepare_anew(p, q);
    c->n_sent++;
    c->renewing = c->n_sent > 1 && (c->n_sent & (c->n_sent - 1)) == 0;
    c->renewed = false;
    if (c->renewing && (!PQsendQueryParams(pg, stmt_texts[STMT_DISCARD_PLANS].sql, 0, NULL, NULL, NULL, NULL, 0) || !PQpipelineSync(pg)))
        return false;
    char name[64]; /* PostgreSQL looks at 63 bytes; the number comes first so that it is never cut */
    (void)snprintf(name, sizeof name, "%u_%s", p->generation, text->name);
    if (c->preparing && !PQsendPrepare(pg, name, text->sql, (int)p->n_types, p->types))
        return false;
    if (!PQsendQueryPrepared(pg, name, (int)q->n_params, q->values, q->lengths, binary, 1))
        return false;
    return PQpipelineSync(pg);
}

static void count_wait(const struct db *db, const struct db_query *q)
{
    uint64_t since_ms = q->deadline_ms - db->config.acquire_ms;
    if (db->config.counts)
        metric_observe(&db->config.counts->waits, &metric_seconds, (int64_t)(uv_now(db->loop) - since_ms) * 1000);
}

static void count_refusal(const struct db *db)
{
    if (db->config.counts)
        metric_add(&db->config.counts->refused, 1);
}

static void start(struct db_conn *c, struct db_query *q)
{
    count_wait(c->db, q);
    list_remove(&q->link);
    q->conn = c;
    c->query = q;
    c->stmt = q->stmt;
    c->said = 0; /* what is sent first on an idle connection clears the message */
    conn_set_state(c, CONN_BUSY);
    /* The query fails from the timer, not inside db_submit; the caller arms it. */
    c->broken = !send_statement(c, q) || db_io_flush(&c->io) < 0;
}

/* The connection answered, but can no longer be used as it is. */
static bool is_spent(const struct db_conn *c, struct str sqlstate)
{
    if (str_eq(sqlstate, STR("0A000")) || str_eq(sqlstate, STR("26000")))
        return c->reused; /* "cached plan must not change result type", or the statement is gone: all are to be prepared anew */
    return str_eq(sqlstate, STR("25006")); /* it is a standby now */
}

static int failure_of(struct db_conn *c, struct db_query *q, const PGresult *result, bool *ret_spent)
{
    int r = db_error_of(result, q->sqlstate, q->constraint);
    *ret_spent = is_spent(c, str_from(q->sqlstate));
    if (*ret_spent)
        r = -ERR_DB_TRANSIENT;
    if (r == -ERR_DB_FAILED || r == -ERR_DB_TRANSIENT) {
        char quoted[256];
        log_line(LOG_DEBUG, "statement failed", "stmt=%s sqlstate=%s message=%s", stmt_texts[c->stmt].name, q->sqlstate,
                 log_quote(str_from(PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY)), quoted, sizeof quoted));
    }
    return r;
}

static void conclude(struct db_conn *c)
{
    struct db_query *q = c->query;
    struct db *db = c->db;
    PGresult *result = TAKE_PTR(c->result);
    struct db_rows rows = {result};
    ExecStatusType status = PQresultStatus(result);
    bool ok = status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK, spent = false;
    int r = ok || !q ? 0 : failure_of(c, q, result, &spent);
    c->query = NULL;
    if (ok)
        db->answered_ms = uv_now(db->loop);
    if (spent)
        conn_gone(c, r);
    else
        conn_set_state(c, CONN_IDLE);
    if (q)
        finish(q, r, ok ? &rows : NULL);
    PQclear(result);
    pump(db);
}

/* ---- memory that libpq did not get
 *
 * It goes on as if nothing had happened, and does not always say so: the end of a flight is dropped, and waited for until another one is sent. The
 * connection is out of step then, which is found by what cannot be: an error that no server made, a message that belongs to no result, another result
 * where the sync was due, and no result where one was due (gaps in on_input). */

static bool is_out_of_step(const struct db_conn *c, const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_FATAL_ERROR && !PQresultErrorField(result, PG_DIAG_SQLSTATE)) /* the server's all have one */
        return true;
    return c->renewing && c->renewed && status != PGRES_PIPELINE_SYNC;
}

static bool has_lost_a_result(const struct db_conn *c)
{
    return PQisBusy(c->io.pg) && strlen(PQerrorMessage(c->io.pg)) > c->said;
}

/* One result: the Parse's, the statement's, or the sync that ends the flight. True when the flight is over. */
static bool take_result(struct db_conn *c, PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    if (c->renewing) {
        c->renewed = true;
        c->renewing = status != PGRES_PIPELINE_SYNC;
        PQclear(result);
        return false;
    }
    if (status == PGRES_PIPELINE_SYNC) {
        PQclear(result);
        return true;
    }
    if (c->preparing && status == PGRES_COMMAND_OK) {
        c->preparing = false;
        c->prepared[c->stmt].ready = true;
        PQclear(result);
    } else if (c->result && status == PGRES_FATAL_ERROR && PQresultStatus(c->result) != PGRES_FATAL_ERROR) {
        PQclear(c->result); /* the statement went well and its commit, which is the sync's part, did not */
        c->result = result;
    } else if (c->result || status == PGRES_PIPELINE_ABORTED) {
        PQclear(result); /* what follows an error */
    } else {
        c->result = result;
    }
    return false;
}

static void on_input(struct db_io *io)
{
    struct db_conn *c = container_of(io, struct db_conn, io);
    unsigned gaps = 0; /* libpq says NULL once between two statements of a flight, twice in a row when there is none */
    bool lost = false;
    while (c->state == CONN_BUSY && gaps < 2 && !lost && !PQisBusy(io->pg)) {
        PGresult *result = PQgetResult(io->pg);
        c->said = strlen(PQerrorMessage(io->pg));
        gaps = result ? 0 : gaps + 1;
        lost = result && is_out_of_step(c, result);
        if (!result || !take_result(c, result))
            continue;
        if (c->result)
            conclude(c);
        else
            db_io_lost(io); /* a flight without a result cannot be: the stream is out of step */
        return;
    }
    if (PQstatus(io->pg) == CONNECTION_BAD || (c->state == CONN_BUSY && (lost || gaps == 2 || has_lost_a_result(c))))
        db_io_lost(io);
}

static bool done_closing(struct db *db)
{
    return db->closed && db->n_conns == 0 && list_empty(&db->waiting) && list_empty(&db->refused) && list_empty(&db->conns[CONN_GONE]);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct db *db = container_of((uv_timer_t *)handle, struct db, timer);
    void (*closed)(void *) = db->closed;
    void *arg = db->closed_arg;
    free(db->conninfo);
    free(db->application);
    free(db);
    closed(arg);
}

/* Gives waiting queries to idle connections, connects when there are too few, sets the timer. Calls no done(). */
static void pump(struct db *db)
{
    struct db_conn *c;
    while (!db->closing && !list_empty(&db->waiting) && (c = first_conn(db, CONN_IDLE))) {
        db->n_waiting--;
        start(c, container_of(list_first(&db->waiting), struct db_query, link));
    }
    if (wants_connection(db) && uv_now(db->loop) >= db->connect_at_ms)
        connect_one(db);
    arm(db);
}

/* A connection whose time is over: 0 = none was. */
static bool expire_conn(struct db *db)
{
    uint64_t now = uv_now(db->loop);
    for (unsigned s = 0; s < CONN_GONE; s++) {
        LIST_EACH(&db->conns[s], it) {
            struct db_conn *c = container_of(it, struct db_conn, link);
            if (conn_deadline(c) > now)
                continue;
            if (c->state == CONN_CONNECTING && !is_over(c))
                back_off(db, "no answer while connecting");
            conn_gone(c, is_over(c) ? -ERR_DB_AWAY : -ERR_DB_TIMEOUT);
            return true;
        }
    }
    return false;
}

static void on_timer(uv_timer_t *timer)
{
    struct db *db = container_of(timer, struct db, timer);
    free_gone(db);
    struct list refused; /* done() may submit again and be refused again: that is for the next turn */
    list_init(&refused);
    list_splice(&refused, &db->refused);
    for (struct list *l; (l = list_first(&refused));)
        finish(container_of(l, struct db_query, link), db->closing ? -ERR_DB_AWAY : -ERR_DB_BUSY, NULL);
    for (struct list *l; (l = list_first(&db->waiting));) {
        struct db_query *q = container_of(l, struct db_query, link);
        if (!db->closing && q->deadline_ms > uv_now(db->loop))
            break;
        db->n_waiting--;
        count_refusal(db);
        finish(q, db->closing || !db_connected(db) ? -ERR_DB_AWAY : -ERR_DB_BUSY, NULL);
    }
    while (expire_conn(db))
        continue;
    free_gone(db);
    if (done_closing(db))
        uv_close((uv_handle_t *)&db->timer, on_timer_closed);
    else
        pump(db);
}

/* ---- the public side */

int db_open(uv_loop_t *loop, const struct db_config *config, struct db **ret)
{
    assert(config->connections > 0 && config->acquire_ms > 0 && config->query_ms > 0);
    struct db *db = NULL;
    int r = db_lookup_valid(config->conninfo) ? 0 : -EINVAL;
    if (r == 0 && !(db = calloc(1, sizeof *db)))
        r = -ENOMEM;
    if (r < 0) {
        db_session_close(config->session);
        return r;
    }
    db->loop = loop;
    db->config = *config;
    db->config.session = NULL;
    db->conninfo = strdup(config->conninfo);
    db->application = strdup(config->application);
    if (!db->conninfo || !db->application)
        abort();
    for (unsigned s = 0; s < CONN_STATES; s++)
        list_init(&db->conns[s]);
    list_init(&db->waiting);
    list_init(&db->refused);
    r = uv_timer_init(loop, &db->timer);
    assert(r == 0); /* cannot fail in libuv */
    uv_update_time(loop);
    db->connect_at_ms = uv_now(loop);
    if (config->session)
        begin_with(db, config->session);
    arm(db);
    *ret = db;
    return 0;
}

void db_close(struct db *db, void (*closed)(void *arg), void *arg)
{
    assert(!db->closed);
    db->closing = true;
    db->closed = closed;
    db->closed_arg = arg;
    uv_timer_start(&db->timer, on_timer, 0, 0);
}

void db_give_up(struct db *db)
{
    db->closing = db->given_up = true;
    uv_timer_start(&db->timer, on_timer, 0, 0);
}

uv_loop_t *db_loop(const struct db *db)
{
    return db->loop;
}

bool db_connected(const struct db *db)
{
    return !list_empty(&db->conns[CONN_IDLE]) || !list_empty(&db->conns[CONN_BUSY]);
}

bool db_answered_within(const struct db *db, uint64_t ms)
{
    return db->answered_ms && uv_now(db->loop) - db->answered_ms <= ms;
}

void db_submit(struct db *db, struct db_query *q)
{
    assert(q->db == NULL && q->done);
    q->db = db;
    q->sqlstate[0] = q->constraint[0] = '\0';
    uv_update_time(db->loop); /* the deadline counts from now, however long the caller worked since the loop looked at the clock */
    q->deadline_ms = 0;
    if (db->closing || db->n_waiting >= db->config.waiting_max) {
        list_push_back(&db->refused, &q->link);
        count_refusal(db);
        arm(db);
        return;
    }
    q->deadline_ms = uv_now(db->loop) + db->config.acquire_ms;
    list_push_back(&db->waiting, &q->link);
    db->n_waiting++;
    pump(db);
}

void db_cancel(struct db_query *q)
{
    struct db *db = q->db;
    if (!db)
        return;
    if (q->conn) {
        q->conn->query = NULL; /* its result will be dropped */
    } else {
        if (q->deadline_ms) /* waiting, not refused */
            db->n_waiting--;
        list_remove(&q->link);
    }
    q->conn = NULL;
    q->db = NULL;
    arm(db);
}

bool db_is_sent(const struct db_query *q)
{
    return q->conn != NULL;
}

/* ---- for commands: the query's own done() is replaced while db_wait runs, so the caller needs none */

struct wait {
    int r;
    bool over;
    void (*seen)(void *arg, const struct db_rows *rows);
    void *arg;
};

static void wait_done(struct db_query *q, int r, const struct db_rows *rows)
{
    struct wait *w = q->waiter;
    w->r = r;
    w->over = true;
    if (r == 0 && w->seen)
        w->seen(w->arg, rows);
}

int db_wait(struct db *db, struct db_query *q, void (*seen)(void *arg, const struct db_rows *rows), void *arg)
{
    struct wait w = {.seen = seen, .arg = arg};
    uv_loop_t *loop = db->loop;
    q->done = wait_done;
    q->waiter = &w; /* cppcheck-suppress autoVariables ; the loop below does not end before the query has */
    db_submit(db, q);
    while (!w.over)
        uv_run(loop, UV_RUN_ONCE);
    return w.r;
}
