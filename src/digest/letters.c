/* letters.c: a thread with a loop and one connection that goes round: look → retry what is marked → spill what is too much → rest. It looks
 * every few seconds (look_s), because a command or another server may have set marks, and at once when it is woken: by a worker that kept a
 * letter, or by the API. Own thread and own connection: a batch never waits for a retry or for a file to be synced.
 *
 * The bound: at most `max` rows. What is above it leaves, the oldest first: letters that a retry has stored are forgotten, dead ones go to
 * files (spill.c), those that are to be tried again stay. So do letters of attachments, which are small and do not count: the sweep keeps a project's
 * files for as long as there is such a row, and knows nothing of files beside another server. A letter's file is durable before its row goes. If the row was changed meanwhile
 * (marked, dropped, or spilled by another server), the row counts and the file is taken back; a cut between the two leaves both, and whoever
 * lists believes the row. While files cannot be written, rows stay, above the bound: nothing is lost for want of room.
 *
 * Such a file beside its row, left by a cut here or in `picket dlq retry`, would stand up when the row goes, and be stored again. So the rows of letters
 * that are stored or dropped stay for a while, and every server deletes the files of their records in its own directory (spill_clean) when it sees
 * them, and before it forgets them. That is right without a lock: stored is a row's last status, so every file of its record is stale, and none can
 * come: only rows that are dead are spilled, and a record has one row. A server that is away for longer than the rows stay (a week, or a minute when
 * there are too many) finds its stale files as letters. A dead row's file stays: the statement that deletes the row may still be under way on a
 * connection that was lost.
 *
 * Letters have an age (keep_days since they first failed; 0: they go for other reasons only). Rows go with retention's tidying (0019_letters_age.sql), files here, each server's own, with what
 * its spool has set aside as damaged: at the first look and then every hour, whether the database answers or not.
 *
 * Files of persons who are to be erased (erasure.c) are deleted here, on the thread that may wait for files, by each server in its own directory:
 * new letters for every request, the others for new requests, and again while that fails. */
#include "letters.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>

#include "erasure.h"
#include "picket/base/clock.h"
#include "picket/base/error.h"
#include "picket/base/log.h"
#include "picket/digest/retry.h"
#include "picket/digest/spill.h"
#include "picket/protocol/payload.h"

enum trouble { TROUBLE_SPILLING, TROUBLE_CLEANING, TROUBLE_SEARCHING, TROUBLE_AGING, TROUBLE_QUARANTINE, N_TROUBLES };
enum state { RESTING, LOOKING, ERASING, FORGETTING, RETRYING, SPILLING };

struct letters {
    struct digest_letters_config config;
    uv_loop_t loop;
    uv_async_t wake, stop;
    uv_timer_t timer;
    pthread_t thread;
    bool closing;
    enum state state;
    bool again;   /* woken while it was busy */
    bool recount; /* the look under way only counts: marks that are left were tried just now */
    struct db *db;
    struct db_query query;
    struct retry *retry;
    struct spill *spill;
    struct digest_letters_stats now; /* what the look found */
    int64_t n_stored, n_spillable;   /* the same; rows of stored letters, and of dead ones that may be spilled */
    int64_t n_clean, clean_us;       /* stored letters when files were looked for last, and the youngest; -1: never, or it failed */
    struct db_array forgotten;       /* numbers of rows */
    struct db_array erased, sizes;   /* requests, and bytes of files */
    struct erasure_searched searched;
    int64_t excess; /* rows above the bound */
    int64_t number; /* this and the next: the letter that is being spilled */
    struct id128 record;
    int64_t aged_mono_us; /* when files that are too old were looked for; 0: never */
    int told[N_TROUBLES]; /* the failure that was logged last */
    struct buf payload;
    uint64_t n_retried, n_failed;
    pthread_mutex_t lock; /* guards stats */
    struct digest_letters_stats stats;
};

static void look(struct letters *l);
static void age_files(struct letters *l);

static void publish(struct letters *l, const struct digest_letters_stats *rows)
{
    struct spill_stats files;
    spill_stats(l->spill, &files);
    pthread_mutex_lock(&l->lock);
    if (rows) {
        l->stats.known = true;
        l->stats.dead = rows->dead;
        l->stats.marked = rows->marked;
    }
    l->stats.spilled = files.files;
    l->stats.spilled_bytes = files.bytes;
    l->stats.spilled_lost = files.removed;
    pthread_mutex_unlock(&l->lock);
}

static void on_timer(uv_timer_t *timer)
{
    struct letters *l = container_of(timer, struct letters, timer);
    age_files(l);
    look(l);
}

static void rest(struct letters *l)
{
    bool again = l->again;
    l->again = false;
    l->state = RESTING;
    if (!l->closing)
        uv_timer_start(&l->timer, on_timer, again ? 0 : 1000 * (uint64_t)l->config.look_s, 0);
}

/* ---- spilling */

static void ask_oldest(struct letters *l);

/* r >= 0: it went well. */
static void tell_trouble(struct letters *l, enum trouble what, int r)
{
    static const char *const texts[N_TROUBLES] = {
        [TROUBLE_SPILLING] = "dead letters cannot be spilled: rows stay above their bound",
        [TROUBLE_CLEANING] = "files of dead letters that are stored cannot be deleted: their rows stay, and hide them",
        [TROUBLE_SEARCHING] = "spilled dead letters cannot be searched for erased persons: they will be",
        [TROUBLE_AGING] = "spilled dead letters that are too old cannot be deleted: DEAD_LETTERS_DAYS",
        [TROUBLE_QUARANTINE] = "damaged bytes of the spool that are too old cannot be deleted: DEAD_LETTERS_DAYS",
    };
    if (r == -EBUSY)
        return; /* that passes */
    if (r < 0 && r != l->told[what])
        log_line(LOG_ERROR, texts[what], "error=%s dir=%s", err_name(r),
                 what == TROUBLE_QUARANTINE ? l->config.spool_dir : l->config.spill_dir);
    l->told[what] = r;
}

static void on_spilled(struct db_query *q, int r, const struct db_rows *rows)
{
    struct letters *l = container_of(q, struct letters, query);
    if (r == 0 && db_count(rows) == 0)
        spill_take_back(l->spill, l->number, &l->record);
    publish(l, NULL);
    if (r < 0 || --l->excess <= 0)
        rest(l); /* when it is not known whether the row is gone, both may stay: the next round writes the file again */
    else
        ask_oldest(l);
}

static int write_letter(struct letters *l, const struct dead_letter *letter, struct str stored)
{
    buf_clear(&l->payload);
    if (payload_unpack(stored, STR(""), SPOOL_MAX_RECORD, &l->payload) == 0)
        return spill_write(l->spill, letter, buf_str(&l->payload));
    return spill_write(l->spill, letter, stored); /* as it is: better than nothing */
}

static void tell_loss(const struct letters *l, uint64_t before)
{
    struct spill_stats files;
    spill_stats(l->spill, &files);
    if (files.removed > before)
        log_line(LOG_WARN, "the oldest spilled dead letters were removed: DEAD_LETTERS_MAX_BYTES", "count=%" PRIu64 " bytes=%" PRIu64,
                 files.removed - before, files.bytes);
}

static void on_oldest(struct db_query *q, int r, const struct db_rows *rows)
{
    struct letters *l = container_of(q, struct letters, query);
    if (r < 0 || db_count(rows) == 0) {
        rest(l);
        return;
    }
    struct spill_stats before;
    struct dead_letter letter;
    struct str payload;
    spill_stats(l->spill, &before);
    dead_letter_whole(rows, &letter, &payload);
    l->number = letter.number;
    l->record = letter.record;
    r = write_letter(l, &letter, payload);
    tell_loss(l, before.removed);
    tell_trouble(l, TROUBLE_SPILLING, r);
    if (r < 0) {
        publish(l, NULL);
        rest(l);
        return;
    }
    erasure_file_came(&l->searched, l->number);
    db_query_init(&l->query, STMT_DEAD_LETTER_SPILLED, on_spilled);
    db_bind_i64(&l->query, l->number);
    db_bind_i32(&l->query, (int32_t)letter.attempts);
    db_submit(l->db, &l->query);
}

static void ask_oldest(struct letters *l)
{
    l->state = SPILLING;
    db_query_init(&l->query, STMT_DEAD_LETTER_OLDEST, on_oldest);
    db_submit(l->db, &l->query);
}

static void spill_excess(struct letters *l)
{
    if (l->excess > 0)
        ask_oldest(l);
    else
        rest(l);
}

/* ---- retrying */

static void on_tried(void *arg, const struct retry_outcome *o)
{
    struct letters *l = arg;
    bool done = o->result == RETRY_STORED || o->result == RETRY_DUPLICATE;
    if (o->result == RETRY_ELSEWHERE)
        return;
    l->n_retried += done;
    l->n_failed += !done;
    if (o->result == RETRY_FAILED)
        log_line(LOG_WARN, "a dead letter failed again", "letter=%" PRId64 " error=%s sqlstate=%s", o->letter, err_name(o->error),
                 o->sqlstate[0] ? o->sqlstate : "-");
}

static void on_retried(void *arg, int r)
{
    struct letters *l = arg;
    if (l->n_retried || l->n_failed)
        log_line(LOG_INFO, "dead letters were tried again", "stored=%" PRIu64 " not_stored=%" PRIu64, l->n_retried, l->n_failed);
    l->n_retried = l->n_failed = 0;
    if (r < 0) {
        rest(l);
        return;
    }
    l->recount = true;
    look(l);
}

/* ---- looking */

static void go_on(struct letters *l)
{
    bool only_counted = l->recount;
    l->excess = l->n_spillable + (int64_t)l->now.marked - (int64_t)l->config.max_rows; /* stored ones go before, or soon */
    l->recount = false;
    publish(l, &l->now);
    if (l->now.marked == 0 || only_counted) {
        spill_excess(l);
        return;
    }
    l->state = RETRYING;
    retry_start(l->retry, 0, INT64_MAX);
}

static void end_look(struct letters *l)
{
    l->recount = false;
    rest(l); /* the workers say that the database is away */
}

static void on_forgotten(struct db_query *q, int r, const struct db_rows *rows)
{
    struct letters *l = container_of(q, struct letters, query);
    if (r < 0) {
        end_look(l);
        return;
    }
    l->n_stored -= db_count(rows);
    l->n_clean = l->n_stored;
    go_on(l);
}

/* The records of `rows`, and in l->forgotten the numbers of those that have no use any more. The caller's to free. */
static struct id128 *read_stored(struct letters *l, const struct db_rows *rows)
{
    int n = db_count(rows);
    struct id128 *records = calloc(n ? (size_t)n : 1, sizeof *records);
    if (!records)
        abort();
    db_array_start(&l->forgotten, DB_I64);
    for (int i = 0; i < n; i++) {
        records[i] = db_id(rows, i, 1);
        if (db_bool(rows, i, 2))
            db_array_i64(&l->forgotten, db_i64(rows, i, 0));
    }
    return records;
}

static void forget_rows(struct letters *l)
{
    if (l->forgotten.count == 0) {
        go_on(l);
        return;
    }
    db_query_init(&l->query, STMT_DEAD_LETTER_FORGET, on_forgotten);
    db_bind_array(&l->query, &l->forgotten);
    db_submit(l->db, &l->query);
}

/* Columns: number, record, has its row no use any more, since when. Files are looked for when there are such rows, because it must be, and when some
 * came: what they left in this directory would stand up when another server forgets them. */
static void on_stored(struct db_query *q, int r, const struct db_rows *rows)
{
    struct letters *l = container_of(q, struct letters, query);
    if (r < 0) {
        end_look(l);
        return;
    }
    AUTO_FREE struct id128 *records = read_stored(l, rows);
    int64_t newest_us = 0;
    for (int i = 0; i < db_count(rows); i++)
        newest_us = db_time(rows, i, 3) > newest_us ? db_time(rows, i, 3) : newest_us;
    if (l->forgotten.count || l->n_clean != db_count(rows) || l->clean_us != newest_us)
        r = spill_clean(l->spill, records, (size_t)db_count(rows));
    l->n_clean = r < 0 ? -1 : db_count(rows);
    l->clean_us = newest_us;
    tell_trouble(l, TROUBLE_CLEANING, r);
    if (r < 0) {
        go_on(l);
        return;
    }
    forget_rows(l);
}

static void look_at_stored(struct letters *l)
{
    if (l->n_stored == 0) {
        l->n_clean = 0;
        go_on(l);
        return;
    }
    l->state = FORGETTING;
    db_query_init(&l->query, STMT_DEAD_LETTER_STORED, on_stored);
    db_bind_i64(&l->query, (int64_t)l->config.max_rows);
    db_submit(l->db, &l->query);
}

/* ---- erased persons */

static void on_accounted(struct db_query *q, int r, const struct db_rows *rows)
{
    struct letters *l = container_of(q, struct letters, query);
    (void)rows;
    if (r < 0)
        end_look(l); /* the files are gone; only their count is not told */
    else
        look_at_stored(l);
}

static void erase_files(struct letters *l, const struct erasure_requests *requests)
{
    db_array_start(&l->erased, DB_I64);
    db_array_start(&l->sizes, DB_I64);
    int r = erasure_of_files(requests, l->config.spill_dir, &l->searched, &l->erased, &l->sizes);
    tell_trouble(l, TROUBLE_SEARCHING, r);
    spill_refresh(l->spill);
    if (l->erased.count == 0) {
        look_at_stored(l);
        return;
    }
    log_line(LOG_INFO, "spilled dead letters of erased persons were deleted", "count=%" PRIu32, l->erased.count);
    db_query_init(&l->query, STMT_ERASURE_FILES, on_accounted);
    db_bind_array(&l->query, &l->erased);
    db_bind_array(&l->query, &l->sizes);
    db_submit(l->db, &l->query);
}

static void on_erasures(struct db_query *q, int r, const struct db_rows *rows)
{
    struct letters *l = container_of(q, struct letters, query);
    struct erasure_requests requests = {.n = 0};
    if (r < 0) {
        end_look(l);
        return;
    }
    erasure_requests_read(&requests, rows);
    erase_files(l, &requests);
    erasure_requests_done(&requests);
}

static void ask_erasures(struct letters *l)
{
    static const struct retention_person all = {.project = 0};
    l->state = ERASING;
    db_query_init(&l->query, STMT_ERASURE_OPEN, on_erasures);
    erasure_bind_open(&l->query, &all);
    db_submit(l->db, &l->query);
}

/* Columns: rows that are dead, marked, stored, dead and may be spilled. */
static void on_looked(struct db_query *q, int r, const struct db_rows *rows)
{
    struct letters *l = container_of(q, struct letters, query);
    if (r < 0) {
        end_look(l);
        return;
    }
    l->now = (struct digest_letters_stats){.dead = (uint64_t)db_i64(rows, 0, 0), .marked = (uint64_t)db_i64(rows, 0, 1)};
    l->n_stored = db_i64(rows, 0, 2);
    l->n_spillable = db_i64(rows, 0, 3);
    spill_refresh(l->spill);
    struct spill_stats files;
    spill_stats(l->spill, &files);
    if (files.files)
        ask_erasures(l);
    else
        look_at_stored(l);
}

/* ---- age */

static void age_quarantine(struct letters *l, int64_t before_us)
{
    struct spool_aged aged;
    int r = spool_quarantine_age(l->config.spool_dir, before_us, SPOOL_REMOVE_AGED, &aged);
    if (aged.files)
        log_line(LOG_INFO, "damaged bytes of the spool were older than DEAD_LETTERS_DAYS and are deleted",
                 "files=%" PRIu64 " bytes=%" PRIu64, aged.files, aged.bytes);
    tell_trouble(l, TROUBLE_QUARANTINE, r);
}

/* -EBUSY: a command has the directory, for moments. */
static int age_letters(struct letters *l, int64_t before_us, int64_t now_us)
{
    struct spill_aged aged;
    AUTO_CLOSE int held = spill_hold(l->config.spill_dir, SPILL_NO_WAIT);
    if (held < 0)
        return held == -ENOENT ? 0 : held;
    int r = spill_age(l->config.spill_dir, before_us, now_us, SPILL_DELETE_AGED, &aged);
    if (aged.files)
        log_line(LOG_INFO, "spilled dead letters were older than DEAD_LETTERS_DAYS and are deleted", "count=%" PRIu64 " bytes=%" PRIu64,
                 aged.files, aged.bytes);
    return r;
}

static void age_files(struct letters *l)
{
    int64_t now_us = clock_wall_us(), before_us = now_us - l->config.keep_days * CLOCK_US_PER_DAY;
    if (l->config.keep_days == 0 || (l->aged_mono_us && clock_mono_us() - l->aged_mono_us < CLOCK_US_PER_HOUR))
        return;
    int r = age_letters(l, before_us, now_us);
    tell_trouble(l, TROUBLE_AGING, r);
    if (r == -EBUSY)
        return; /* the next look tries again */
    if (l->config.spool_dir)
        age_quarantine(l, before_us);
    l->aged_mono_us = clock_mono_us();
}

static void look(struct letters *l)
{
    l->state = LOOKING;
    db_query_init(&l->query, STMT_DEAD_LETTER_LOOK, on_looked);
    db_submit(l->db, &l->query);
}

static void on_wake(uv_async_t *async)
{
    struct letters *l = container_of(async, struct letters, wake);
    if (l->closing)
        return;
    if (l->state != RESTING)
        l->again = true;
    else
        uv_timer_start(&l->timer, on_timer, 0, 0);
}

/* ---- the thread */

static void on_db_closed(void *arg)
{
    struct letters *l = arg;
    uv_close((uv_handle_t *)&l->wake, NULL);
    uv_close((uv_handle_t *)&l->stop, NULL);
    uv_close((uv_handle_t *)&l->timer, NULL);
}

/* A statement under way runs on: what it does is whole or not at all. */
static void on_stop(uv_async_t *async)
{
    struct letters *l = container_of(async, struct letters, stop);
    if (l->closing)
        return;
    l->closing = true;
    uv_timer_stop(&l->timer);
    db_cancel(&l->query);
    retry_free(TAKE_PTR(l->retry));
    db_close(l->db, on_db_closed, l);
}

static void *run(void *arg)
{
    struct letters *l = arg;
    uv_run(&l->loop, UV_RUN_DEFAULT);
    return NULL;
}

static void release(struct letters *l)
{
    int r = uv_loop_close(&l->loop);
    assert(r == 0);
    retry_free(l->retry);
    spill_close(l->spill);
    buf_done(&l->payload);
    db_array_done(&l->forgotten);
    db_array_done(&l->erased);
    db_array_done(&l->sizes);
    erasure_searched_done(&l->searched);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

int letters_open(const struct digest_letters_config *config, const struct db_config *db, struct letters **ret)
{
    struct letters *l = calloc(1, sizeof *l);
    if (!l)
        return -ENOMEM;
    struct retry_events events = {.tried = on_tried, .over = on_retried, .arg = l};
    struct spill_config spill = {.dir = config->spill_dir, .max_bytes = config->spill_max_bytes};
    struct db_config own = *db;
    l->config = *config;
    l->config.look_s = config->look_s ? config->look_s : 1;
    l->n_clean = -1;
    l->searched.from = INT64_MAX;
    own.application = "picket dead letters";
    own.connections = 1;
    pthread_mutex_init(&l->lock, NULL);
    db_query_init(&l->query, STMT_PING, NULL);
    int r = uv_loop_init(&l->loop);
    assert(r == 0);
    r = spill_open(&spill, &l->spill);
    if (r < 0) {
        log_line(LOG_ERROR, "the directory of spilled dead letters cannot be read", "error=%s dir=%s", err_name(r), config->spill_dir);
        release(l);
        return r;
    }
    publish(l, NULL);
    uv_async_init(&l->loop, &l->wake, on_wake);
    uv_async_init(&l->loop, &l->stop, on_stop);
    uv_timer_init(&l->loop, &l->timer);
    uv_timer_start(&l->timer, on_timer, 0, 0);
    r = db_open(&l->loop, &own, &l->db);
    if (r == 0) {
        l->retry = retry_new(l->db, &events);
        r = -pthread_create(&l->thread, NULL, run, l);
    }
    if (r < 0) {
        if (l->db)
            on_stop(&l->stop);
        else
            on_db_closed(l);
        (void)run(l);
        release(l);
        return r;
    }
    *ret = l;
    return 0;
}

void letters_close(struct letters *l)
{
    if (!l)
        return;
    uv_async_send(&l->stop);
    pthread_join(l->thread, NULL);
    release(l);
}

void letters_wake(struct letters *l)
{
    uv_async_send(&l->wake);
}

void letters_stats(struct letters *l, struct digest_letters_stats *ret)
{
    pthread_mutex_lock(&l->lock);
    *ret = l->stats;
    pthread_mutex_unlock(&l->lock);
}
