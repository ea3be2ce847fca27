/* keeper.c: the thread for everything that may take its time: saving the cursor, finishing and removing segments, filling the spare,
 * watching the disk's free space. The commit thread and the callers never wait for it. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "disk.h"
#include "picket/base/clock.h"
#include "picket/base/fault.h"

enum { CURSOR_EVERY_US = 200 * 1000, KEPT_EVERY_US = 60 * 1000 * 1000, FLOOR_EVERY_US = 1000 * 1000 };
enum { FILL_EVERY_US = 100 * 1000, FILL_STEP = 1024 * 1024 };

void keeper_kick(struct spool *s)
{
    s->chores = true;
    (void)pthread_cond_signal(&s->has_chores);
}

/* A disk that cannot be asked is taken for full. */
static bool disk_has(struct spool *s, uint64_t bytes)
{
    struct statvfs v;
    if (fault("spool.statvfs") < 0 || fstatvfs(s->dir_fd, &v) < 0)
        return false;
    return (uint64_t)v.f_bavail * v.f_frsize >= bytes;
}

void spool_floor_check(struct spool *s)
{
    bool low = s->config.free_floor_bytes > 0 && !disk_has(s, s->config.free_floor_bytes);
    (void)pthread_mutex_lock(&s->lock);
    s->disk_low = low;
    if (low)
        (void)pthread_cond_signal(&s->has_pending); /* the committer may hold what the disk lacks */
    (void)pthread_mutex_unlock(&s->lock);
}

/* S7: the committer ends it, also when nothing is appended. */
static void age_check(struct spool *s)
{
    (void)pthread_mutex_lock(&s->lock);
    if (s->current && segment_is_old(s, s->current))
        (void)pthread_cond_signal(&s->has_pending);
    (void)pthread_mutex_unlock(&s->lock);
}

/* ---- segments */

static struct segment *untidy_take(struct spool *s)
{
    struct segment *found = NULL;
    (void)pthread_mutex_lock(&s->lock);
    LIST_EACH(&s->segments, it) {
        struct segment *seg = container_of(it, struct segment, link);
        if (seg->untidy && seg->fd >= 0) {
            found = seg;
            seg->untidy = false;
            seg->refs++;
            break;
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
    return found;
}

/* A closed segment gets its trailer, a sealed one loses what was never synced: its space may be what the disk lacks. Failing is harmless:
 * the next recovery reads the segment record by record. */
static void segments_tidy(struct spool *s)
{
    for (struct segment *seg; (seg = untidy_take(s)) != NULL; segment_unref(s, seg)) {
        int r = seg->state == SEGMENT_CLOSED ? segment_write_trailer(s, seg, seg->fd)
                                             : disk_truncate(seg->fd, seg->end, "spool.segment.truncate");
        (void)r;
    }
}

/* A long backlog has many segments: those that nobody reads yet need no descriptor. */
static void descriptors_close(struct spool *s)
{
    (void)pthread_mutex_lock(&s->lock);
    LIST_EACH(&s->segments, it) {
        struct segment *seg = container_of(it, struct segment, link);
        bool idle = seg->state != SEGMENT_OPEN && seg->refs == 0 && !seg->untidy && seg->number > s->claim_at.segment;
        if (idle && seg->fd >= 0) {
            (void)close(seg->fd); /* everything that counts was synced */
            seg->fd = -1;
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
}

/* Moves the segments that the cursor has passed, and those that never took a record, to `ret`. The last one, digested to its end, goes when it is
 * old (S7) or the disk needs its space: the cursor passes it only when a next one lasts, and that may be what there is no room for. */
static void segments_retire(struct spool *s, struct list *ret)
{
    (void)pthread_mutex_lock(&s->lock);
    bool in_need = s->disk_low || s->refuse_until_us != 0;
    LIST_EACH_SAFE(&s->segments, it) {
        struct segment *seg = container_of(it, struct segment, link);
        bool passed = seg->number < s->cursor.segment || ((in_need || segment_is_old(s, seg)) && cursor_is_at_end(s, seg));
        bool needed = !passed && seg->end > SEGMENT_HEAD_BYTES;
        if (needed || seg->state == SEGMENT_OPEN)
            continue;
        list_remove(&seg->link);
        list_push_back(ret, &seg->link);
        seg->refs++; /* ours */
        seg->retired = true;
    }
    (void)pthread_mutex_unlock(&s->lock);
}

/* A file that cannot be removed is removed at the next start: the cursor is past it. */
static void segments_remove(struct spool *s, struct list *retired)
{
    char name[SEGMENT_NAME_MAX];
    for (struct list *it; (it = list_pop(retired)) != NULL;) {
        struct segment *seg = container_of(it, struct segment, link);
        segment_name(seg->number, name);
        int r = disk_unlink(s->dir_fd, name, "spool.segment.unlink");
        (void)r;
        segment_unref(s, seg);
    }
}

/* ---- the cursor */

/* False: its file says so already. */
static bool cursor_take(struct spool *s, enum cursor_save how, struct spool_pos *ret)
{
    (void)pthread_mutex_lock(&s->lock);
    bool lags = s->cursor.segment != s->kept.segment || s->cursor.offset != s->kept.offset;
    bool needed = how == CURSOR_QUICK ? s->cursor_dirty : lags;
    if (how == CURSOR_QUICK)
        s->cursor_dirty = false;
    *ret = s->cursor;
    (void)pthread_mutex_unlock(&s->lock);
    return needed;
}

/* Failing is harmless: it is tried again in a later round, and a file that lags costs redelivery only. */
static void cursor_save(struct spool *s, enum cursor_save how)
{
    struct spool_pos pos;
    if (!cursor_take(s, how, &pos))
        return;
    int r = cursor_write(s, pos, how);
    (void)pthread_mutex_lock(&s->lock);
    if (how == CURSOR_QUICK)
        s->cursor_dirty |= r < 0;
    else if (r == 0)
        s->kept = pos;
    (void)pthread_mutex_unlock(&s->lock);
}

/* ---- the spare
 *
 * Begun when a quarter of the segment before it is written, so that an idle server keeps none, and filled while little is appended: a step at a commit, at most one
 * in FILL_EVERY_US. It is there for who waits for a small commit. Large ones gain nothing from it, and it costs the disk as much as what is written: at all that can
 * be accepted, a spare for each segment took a quarter of it, and 10 MB of one a second a tenth; at two thirds, one filled at a stretch made acks 340 ms late. */

bool spare_is_due(const struct spool *s, int64_t now_us)
{
    bool begun = s->spare == SPARE_FILLING, wanted = s->spare == SPARE_NONE && s->current && s->current->end > s->config.segment_bytes / 4;
    return (begun || wanted) && now_us >= s->spare_after_us && !s->keeper_stop;
}

static bool spare_begin(struct spool *s)
{
    int64_t now_us = clock_mono_us();
    (void)pthread_mutex_lock(&s->lock);
    bool go_on = spare_is_due(s, now_us);
    if (go_on) {
        go_on = s->bytes_appended - s->spare_seen < FILL_STEP / 2;
        s->spare_seen = s->bytes_appended;
        s->spare_after_us = now_us + FILL_EVERY_US;
    }
    if (go_on)
        s->spare = SPARE_FILLING;
    (void)pthread_mutex_unlock(&s->lock);
    return go_on;
}

static int spare_fill(struct spool *s, uint64_t from, uint64_t bytes)
{
    if (from == 0 && !disk_has(s, s->config.free_floor_bytes + 2 * s->config.segment_bytes))
        return -ENOSPC;
    if (s->spare_fd < 0)
        s->spare_fd = disk_open(s->dir_fd, SPARE_NAME, O_WRONLY | O_CREAT | O_TRUNC, "spool.spare.open");
    if (s->spare_fd < 0)
        return s->spare_fd;
    char *zeros = calloc(1, bytes);
    int r = zeros ? disk_write(s->spare_fd, zeros, bytes, from, "spool.spare.write") : -ENOMEM;
    free(zeros);
    return r < 0 ? r : disk_sync(s->spare_fd, "spool.spare.sync");
}

static void spare_close(struct spool *s)
{
    if (s->spare_fd >= 0)
        (void)close(s->spare_fd);
    s->spare_fd = -1;
}

/* A step, if one is due and little was appended since the last look. After a failure nothing is tried for a while. */
static void spare_prepare(struct spool *s)
{
    if (!spare_begin(s))
        return;
    uint64_t left = s->config.segment_bytes - s->spare_filled, bytes = left < FILL_STEP ? left : FILL_STEP;
    int r = spare_fill(s, s->spare_filled, bytes);
    bool whole = r == 0 && bytes == left;
    s->spare_filled = r < 0 || whole ? 0 : s->spare_filled + bytes;
    if (r < 0 || whole)
        spare_close(s);
    (void)pthread_mutex_lock(&s->lock);
    s->spare = whole ? SPARE_READY : r < 0 ? SPARE_NONE : SPARE_FILLING;
    if (r < 0)
        s->spare_after_us = clock_mono_us() + FLOOR_EVERY_US;
    (void)pthread_mutex_unlock(&s->lock);
}

/* ---- the thread */

/* When it was last tried to save the cursor, by each of its ways; monotonic. */
struct saves {
    int64_t quick_us, durable_us;
};

enum saving { SAVE_IN_TIME, SAVE_NOW };
static void cursor_save_due(struct spool *s, enum saving how, struct saves *last)
{
    int64_t durable_every_us = s->config.segment_us < KEPT_EVERY_US ? s->config.segment_us : KEPT_EVERY_US;
    if (how == SAVE_NOW || clock_mono_us() - last->quick_us >= CURSOR_EVERY_US) {
        cursor_save(s, CURSOR_QUICK);
        last->quick_us = clock_mono_us();
    }
    if (how == SAVE_NOW || clock_mono_us() - last->durable_us >= durable_every_us) {
        cursor_save(s, CURSOR_DURABLE);
        last->durable_us = clock_mono_us();
    }
}

static void chores(struct spool *s, enum saving how, struct saves *last)
{
    struct list retired;
    list_init(&retired);
    segments_tidy(s);
    segments_retire(s, &retired);
    cursor_save_due(s, list_empty(&retired) ? how : SAVE_NOW, last);
    segments_remove(s, &retired);
    descriptors_close(s);
}

/* Until there is something to do, or `until_us`; *ret_chores: more than a step of the spare. False: stop. */
static bool chores_wait(struct spool *s, int64_t until_us, bool *ret_chores)
{
    struct timespec until = {.tv_sec = until_us / CLOCK_US_PER_S, .tv_nsec = until_us % CLOCK_US_PER_S * 1000};
    (void)pthread_mutex_lock(&s->lock);
    int r = 0;
    while (!s->chores && !spare_is_due(s, clock_mono_us()) && !s->keeper_stop && r != ETIMEDOUT)
        r = pthread_cond_timedwait(&s->has_chores, &s->lock, &until);
    *ret_chores = s->chores || clock_mono_us() >= until_us;
    s->chores = false;
    bool go_on = !s->keeper_stop;
    (void)pthread_mutex_unlock(&s->lock);
    return go_on;
}

static bool cursor_is_dirty(struct spool *s)
{
    (void)pthread_mutex_lock(&s->lock);
    bool dirty = s->cursor_dirty;
    (void)pthread_mutex_unlock(&s->lock);
    return dirty;
}

void *keeper_main(void *arg)
{
    struct spool *s = arg;
    struct saves last = {.quick_us = 0};
    int64_t floor_us = clock_mono_us() + FLOOR_EVERY_US, until_us;
    bool has_chores = true;
    do {
        if (has_chores)
            chores(s, SAVE_IN_TIME, &last);
        spare_prepare(s);
        if (clock_mono_us() >= floor_us) {
            spool_floor_check(s);
            age_check(s);
            (void)spool_oldest_us(s); /* so that an answer is not of long ago */
            floor_us = clock_mono_us() + FLOOR_EVERY_US;
        }
        until_us = cursor_is_dirty(s) && last.quick_us + CURSOR_EVERY_US < floor_us ? last.quick_us + CURSOR_EVERY_US : floor_us;
    } while (chores_wait(s, until_us, &has_chores));
    spare_close(s);
    chores(s, SAVE_NOW, &last);
    return NULL;
}
