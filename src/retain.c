/* retain.c: see the header. Several servers on one database run it in turns: the run itself takes a lock, and whoever comes second does nothing. */
#include "retain.h"

#include <inttypes.h>

#include "picket/base/clock.h"
#include "picket/base/error.h"
#include "picket/base/log.h"
#include "picket/blob/blob.h"

enum { FIRST_MS = 60 * 1000, COPY_MS = 3600 * 1000 };
#define SWEEP_EVERY_US (24 * CLOCK_US_PER_HOUR)

static void on_timer(uv_timer_t *timer);

static void on_day(void *arg, const struct retention_day *d, const struct retention_total *so_far)
{
    (void)arg, (void)so_far;
    if (d->result < 0)
        log_line(LOG_WARN, "retention could not have a day and will try again", "day=%s error=%s sqlstate=%s", d->day, err_name(d->result),
                 d->sqlstate[0] ? d->sqlstate : "-");
    else
        log_line(d->dropped_rows ? LOG_INFO : LOG_DEBUG, "retention", "day=%s events=%" PRId64 " dropped=%" PRId64 " bytes_freed=%" PRId64,
                 d->day, d->rows, d->dropped_rows, d->dropped_bytes);
}

static void close_db(struct retain *r)
{
    if (r->db)
        db_close(r->db, r->closed, r->closed_arg);
    else
        r->closed(r->closed_arg);
}

static void sweep(struct retain *r);

static void on_part_closed(void *arg)
{
    struct retain *r = arg;
    r->ending = false;
    if (r->closing)
        close_db(r);
    else if (r->sweeps)
        sweep(r);
    else
        uv_timer_start(&r->timer, on_timer, r->config.every_ms, 0);
}

/* ---- files */

static void end_sweep(struct retain *r)
{
    r->ending = true;
    sweep_close(TAKE_PTR(r->sweep), on_part_closed, r);
}

static void on_swept(void *arg, int result, const struct sweep_total *total)
{
    struct retain *r = arg;
    if (result < 0)
        log_line(LOG_WARN, "files of attachments could not be swept and will be tried again", "error=%s", err_name(result));
    else
        r->swept_mono_us = clock_mono_us();
    if (total->files || total->failed)
        log_line(total->failed ? LOG_WARN : LOG_INFO, "attachments swept", "files=%" PRIu64 " bytes_freed=%" PRIu64 " failed=%" PRIu64,
                 total->files, total->bytes, total->failed);
    end_sweep(r);
}

static void sweep(struct retain *r)
{
    r->sweeps = false;
    struct sweep_config config = {.db = r->db,
                                  .blobs = r->config.blobs,
                                  .node = spool_node(r->config.spool),
                                  .hold_us = spool_oldest_us(r->config.spool)};
    struct sweep_events events = {.done = on_swept, .arg = r};
    if (sweep_open(&config, &events, &r->sweep) < 0)
        abort(); /* out of memory or threads */
}

/* ---- rows */

static void end_run(struct retain *r)
{
    r->ending = true;
    retention_close(TAKE_PTR(r->run), on_part_closed, r);
}

/* Also of a run that ended early: it is gone. */
static void tell_tidied(const int64_t tidied[RETENTION_KINDS])
{
    AUTO_BUF struct buf text = {0};
    for (int i = 0; i < RETENTION_KINDS; i++)
        if (tidied[i])
            buf_printf(&text, "%s%s=%" PRId64, text.n ? " " : "", retention_kind_name((enum retention_kind)i), tidied[i]);
    if (tidied[RETENTION_DEAD_LETTERS])
        log_line(LOG_INFO, "dead letters were older than DEAD_LETTERS_DAYS and are deleted", "count=%" PRId64,
                 tidied[RETENTION_DEAD_LETTERS]);
    if (text.n)
        log_line(LOG_INFO, "retention tidied up", "%s", buf_cstr(&text));
}

static void on_done(void *arg, int result, const char *sqlstate, const struct retention_total *total)
{
    struct retain *r = arg;
    if (result < 0 && result != -ERR_DB_BUSY)
        log_line(LOG_WARN, "retention ended early and will be tried again", "error=%s sqlstate=%s", err_name(result),
                 sqlstate[0] ? sqlstate : "-");
    if (total->erased.result < 0 && result == 0)
        log_line(LOG_WARN, "erased persons' data was not looked for everywhere and will be", "error=%s", err_name(total->erased.result));
    if (total->erased.events || total->erased.dead_letters)
        log_line(LOG_INFO, "data of erased persons was found", "events=%" PRId64 " dead_letters=%" PRId64 " bytes=%" PRId64,
                 total->erased.events, total->erased.dead_letters, total->erased.bytes);
    if (result == 0 && total->dropped_rows)
        log_line(LOG_INFO, "retention done", "days=%u dropped=%" PRId64 " bytes_freed=%" PRId64, total->days, total->dropped_rows,
                 total->dropped_bytes);
    tell_tidied(total->tidied);
    bool is_time = r->swept_mono_us == 0 || clock_mono_us() - r->swept_mono_us > SWEEP_EVERY_US;
    bool may_be_unnamed = total->attachments > 0 || total->tidied[RETENTION_DEAD_LETTERS] > 0; /* a letter names files, too */
    bool is_known =
        spool_oldest_us(r->config.spool) != SPOOL_AGE_UNKNOWN; /* otherwise nothing could be judged, and the next run will see */
    r->sweeps = result == 0 && is_known && (may_be_unnamed || is_time);
    if (total->attachments)
        log_line(LOG_INFO, "attachments dropped", "rows=%" PRId64 " bytes=%" PRId64, total->attachments, total->attachment_bytes);
    end_run(r);
}

static void on_timer(uv_timer_t *timer)
{
    struct retain *r = container_of(timer, struct retain, timer);
    if (!r->db && db_open(r->loop, &r->pool, &r->db) < 0)
        abort(); /* out of memory: other pools have read the same conninfo */
    struct retention_config config = {.db = r->db,
                                      .days = r->config.days,
                                      .per_issue = r->config.per_issue,
                                      .letter_days = r->config.letter_days,
                                      .now_us = clock_wall_us()};
    struct retention_events events = {.day = on_day, .done = on_done, .arg = r};
    if (retention_open(&config, &events, &r->run) < 0)
        abort(); /* out of memory */
}

void retain_open(struct retain *r, uv_loop_t *loop, const struct db_config *db, const struct retain_config *config)
{
    *r = (struct retain){.loop = loop, .pool = *db, .config = *config};
    r->pool.application = "picket retention";
    r->pool.connections = 1;
    r->pool.query_ms = COPY_MS;
    uv_timer_init(loop, &r->timer);
    uv_timer_start(&r->timer, on_timer, config->every_ms < FIRST_MS ? config->every_ms : FIRST_MS, 0);
}

void retain_close(struct retain *r, void (*closed)(void *arg), void *arg)
{
    if (!r->loop) {
        closed(arg);
        return;
    }
    r->closing = true;
    r->closed = closed;
    r->closed_arg = arg;
    uv_close((uv_handle_t *)&r->timer, NULL);
    if (r->run)
        end_run(r);
    else if (r->sweep)
        end_sweep(r);
    else if (!r->ending)
        close_db(r);
}
