/* monitors.c: once a second: look at the spool → one statement (monitor_tick) → its events into the spool → durable → one statement that forgets
 * them. Everything is decided in that statement; here is what only the process knows, and on which it depends that nobody is accused falsely:
 *
 *   heard   until when all that this server took is stored. Noted is when the oldest request came that the door has in its hands (it may wait for a worker),
 *           and how many appends the spool has queued. When those have ended, where the spool's end is; when the cursor has passed that, everything
 *           that came before the note is in the database, or was refused. A little less, because a request has its time before the door can tell it.
 *   since   since when this process takes check-ins without a break. A process that was stopped, or a machine that slept, begins anew: its timer
 *           finds that it comes too late.
 *
 * Events of failures have their ids from the database, those of their spool records too. So a server that dies between the two statements does no
 * harm: another one takes them after a minute, and the digest knows the record (OUTCOME_REDELIVERED). */
#include "picket/digest/monitors.h"

#include <errno.h>
#include <inttypes.h>

#include "picket/base/clock.h"
#include "picket/base/error.h"
#include "picket/base/log.h"

enum { TICK_MS = 1000, EVENTS_MAX = 100 };
#define HEARD_SLACK_US (5 * CLOCK_US_PER_S)
#define STALL_US (15 * CLOCK_US_PER_S)
#define LAG_US (600 * CLOCK_US_PER_S)

struct monitors {
    struct monitors_config config;
    struct id128 node;
    uv_timer_t timer;
    struct db *db;
    struct db_query query;
    bool asking; /* a statement is under way */
    struct spool_port *port;
    struct spool_append append;
    bool appending;
    struct db_array projects, ids; /* of the events that are being appended */
    int64_t since_us, woke_us;
    struct {
        enum { NOTE_NONE, NOTE_QUEUED, NOTE_SYNCED } state;
        int64_t us;            /* what came before is to be stored … */
        uint64_t appends;      /* … of NOTE_QUEUED: by the first so many appends … */
        struct spool_pos upto; /* … of NOTE_SYNCED: below this */
    } note;
    int64_t heard_us; /* 0: not known yet */
    int told;         /* the failure that was logged last */
    bool lags;
    unsigned n_open; /* timer, port and pool that are to be closed */
    void (*closed)(void *arg);
    void *closed_arg;
};

/* ---- what the process knows */

static bool has_passed(const struct spool_pos *at, const struct spool_pos *mark)
{
    return at->segment != mark->segment ? at->segment > mark->segment : at->offset >= mark->offset;
}

/* The door first: what leaves it meanwhile is in the spool then. */
static void look_at_spool(struct monitors *m, int64_t now_us)
{
    int64_t oldest_us = m->config.oldest_us(m->config.arg);
    int64_t since_us = oldest_us < now_us ? oldest_us : now_us;
    struct spool_stats stats;
    spool_stats(m->config.spool, &stats);
    if (stats.bytes == 0) {
        m->heard_us = since_us - HEARD_SLACK_US;
        m->note.state = NOTE_NONE;
        return;
    }
    if (m->note.state == NOTE_QUEUED && stats.appends_ended >= m->note.appends) {
        m->note.upto = stats.synced;
        m->note.state = NOTE_SYNCED;
    }
    if (m->note.state == NOTE_SYNCED && has_passed(&stats.cursor, &m->note.upto)) {
        m->heard_us = m->note.us - HEARD_SLACK_US;
        m->note.state = NOTE_NONE;
    }
    if (m->note.state == NOTE_NONE) {
        m->note.state = NOTE_QUEUED;
        m->note.us = since_us;
        m->note.appends = stats.appends_queued;
    }
}

static void look_at_clock(struct monitors *m, int64_t now_us)
{
    if (llabs(now_us - m->woke_us) > STALL_US)
        m->since_us = now_us;
    m->woke_us = now_us;
}

/* ---- events */

static void on_sent(struct db_query *q, int r, const struct db_rows *rows)
{
    (void)r, (void)rows; /* those that stay are taken again, and known */
    container_of(q, struct monitors, query)->asking = false;
}

static void on_durable(struct spool_append *append, int r)
{
    struct monitors *m = container_of(append, struct monitors, append);
    m->appending = false;
    if (r < 0)
        return; /* somebody takes them again */
    m->asking = true;
    db_query_init(&m->query, STMT_MONITOR_EVENT_SENT, on_sent);
    db_bind_array(&m->query, &m->projects);
    db_bind_array(&m->query, &m->ids);
    db_submit(m->db, &m->query);
}

/* Columns: project, record's id, event's id, when it was made, payload. */
static void take_events(struct monitors *m, const struct db_rows *rows)
{
    struct spool_record records[EVENTS_MAX];
    int n = db_count(rows);
    assert(n <= EVENTS_MAX);
    db_array_start(&m->projects, DB_I32);
    db_array_start(&m->ids, DB_ID);
    for (int i = 0; i < n; i++) {
        struct spool_record *r = &records[i];
        *r = (struct spool_record){.id = db_id(rows, i, 1),
                                   .event_id = db_id(rows, i, 2),
                                   .project_id = (uint64_t)db_i64(rows, i, 0),
                                   .received_us = db_time(rows, i, 3),
                                   .kind = SPOOL_EVENT,
                                   .meta = STR("{}"),
                                   .payload = db_text(rows, i, 4)};
        db_array_i32(&m->projects, (int32_t)r->project_id);
        db_array_id(&m->ids, &r->id);
    }
    m->append.done = on_durable;
    m->appending = spool_append(m->port, &m->append, records, (unsigned)n) == 0; /* else they are taken again when there is room */
}

/* ---- looking */

static void tell(struct monitors *m, int r, const struct db_query *q)
{
    bool is_known = r == m->told || err_fate(r) == FATE_RETRY; /* the workers say that the database is away */
    if (r < 0 && !is_known)
        log_line(LOG_ERROR, "cron monitors cannot be looked at", "error=%s sqlstate=%s", err_name(r), q->sqlstate[0] ? q->sqlstate : "-");
    m->told = r;
}

static void on_ticked(struct db_query *q, int r, const struct db_rows *rows)
{
    struct monitors *m = container_of(q, struct monitors, query);
    m->asking = false;
    tell(m, r, q);
    if (r == 0 && db_count(rows) > 0)
        take_events(m, rows);
}

/* What this server has taken is not stored: nobody is accused meanwhile, by no server. */
static void tell_lag(struct monitors *m, int64_t now_us)
{
    int64_t lag_us = now_us - (m->heard_us ? m->heard_us : m->since_us);
    if (lag_us > LAG_US && !m->lags)
        log_line(LOG_WARN, "cron monitors wait until what was received is stored", "since_s=%" PRId64, lag_us / CLOCK_US_PER_S);
    m->lags = lag_us > LAG_US;
}

static void on_timer(uv_timer_t *timer)
{
    struct monitors *m = container_of(timer, struct monitors, timer);
    int64_t now_us = clock_wall_us();
    look_at_clock(m, now_us);
    if (m->asking || m->appending)
        return;
    look_at_spool(m, now_us);
    tell_lag(m, now_us);
    m->asking = true;
    db_query_init(&m->query, STMT_MONITOR_TICK, on_ticked);
    db_bind_id(&m->query, &m->node);
    db_bind_time(&m->query, now_us);
    db_bind_time(&m->query, m->since_us);
    if (m->heard_us)
        db_bind_time(&m->query, m->heard_us);
    else
        db_bind_null(&m->query);
    db_bind_i32(&m->query, EVENTS_MAX);
    db_submit(m->db, &m->query);
}

/* ---- opening and closing */

static void on_part_closed(struct monitors *m)
{
    if (--m->n_open > 0)
        return;
    db_array_done(&m->projects);
    db_array_done(&m->ids);
    void (*closed)(void *) = m->closed;
    void *arg = m->closed_arg;
    free(m);
    if (closed)
        closed(arg);
}

static void on_closed(void *arg)
{
    on_part_closed(arg);
}

static void on_timer_closed(uv_handle_t *handle)
{
    on_part_closed(container_of((uv_timer_t *)handle, struct monitors, timer));
}

int monitors_open(const struct monitors_config *config, uv_loop_t *loop, struct monitors **ret)
{
    struct db_config db = config->db;
    struct monitors *m = calloc(1, sizeof *m);
    if (!m)
        return -ENOMEM;
    m->config = *config;
    m->node = spool_node(config->spool);
    m->since_us = config->listening_us;
    m->woke_us = clock_wall_us();
    db_query_init(&m->query, STMT_PING, NULL);
    db.connections = 1;
    int r = db_open(loop, &db, &m->db);
    if (r < 0) {
        free(m);
        return r;
    }
    r = spool_port_open(config->spool, loop, &m->port);
    if (r < 0) {
        m->n_open = 1;
        db_close(m->db, on_closed, m);
        return r;
    }
    uv_timer_init(loop, &m->timer);
    uv_timer_start(&m->timer, on_timer, 0, TICK_MS);
    *ret = m;
    return 0;
}

void monitors_close(struct monitors *m, void (*closed)(void *arg), void *arg)
{
    m->closed = closed;
    m->closed_arg = arg;
    m->n_open = 3;
    db_cancel(&m->query);
    if (m->appending)
        spool_append_cancel(&m->append);
    uv_close((uv_handle_t *)&m->timer, on_timer_closed);
    spool_port_close(m->port, on_closed, m);
    db_close(m->db, on_closed, m);
}
