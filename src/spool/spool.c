/* spool.c: the durable queue between ingest and digest. This file holds the design, opening and closing, and group commit.
 *
 * Design
 *   The door decides who may append (door.c). Appending threads encode their records into a heap block (one copy, body checksum) and put it
 *   on a bounded list (port.c). One thread,
 *   the committer, takes what is there, gives the records their place (offset, header checksum), writes all blocks with one pwritev per
 *   IOV_MAX of them, calls fdatasync once and answers everybody: one wake per loop. What arrives meanwhile shares the next round.
 *   Digest workers claim ranges in order and settle them in any order (cursor.c). A third thread, the keeper, does what may take its time
 *   (keeper.c). A start finds the end of what is valid (recovery.c). Damaged bytes are kept aside (quarantine.c).
 *
 * Threads and locks
 *   spool.lock guards all that moves and is never held across I/O, a callback or another lock. The committer alone writes to the current
 *   segment and changes spool.current, so it reads them without the lock. Each port has a lock for its list of answers.
 *
 * Format (little-endian; a directory of our own, locked)
 *   <16 hex digits>.seg   a segment: 64 bytes of header, then records, then perhaps zeros (a file filled ahead), or a trailer at its very end
 *   cursor                the low-water mark, replaced as a whole several times a second and never synced
 *   cursor.kept           the same, replaced now and then and synced: after a cut of power the one that is further counts
 *   node                  this spool's id, which with a segment's number seeds the header checksums in it
 *   spare, new, *.tmp     half made things: removed at start
 *   quarantine/           damaged bytes and torn tails, <segment>-<offset>
 *   A record is a header of 120 bytes, meta, payload, and zeros up to a multiple of 8. Its header carries its own offset, and the header's
 *   checksum is seeded: bytes that a client sent, or that an earlier file left on the disk, never pass for a record, so a scan over damage
 *   finds the real next one. The body has its own checksum, made on the appending thread. Only a trailer has no body. Numbers of segments only grow and start at the
 *   wall clock, so (node, segment, offset) names a record for ever.
 *
 *   Every version of the format keeps these, so that a release knows what it does not know: a segment's header begins as struct segment_head
 *   does, and ends in the checksum of all before it; a record's begins as struct record_head does, up to body_sum.
 *
 * Invariants
 *   S1  Bytes below a segment's end never change.             The end moves up only, in commit_finish; writes go to the end.
 *   S2  A segment exists once its header and its directory entry are durable.                            segment_create
 *   S3  A record is acknowledged only when the synced position has passed it.                            commit
 *   S4  A record is valid if length and checksum agree.                      record_head_valid, record_body_valid
 *   S5  A failed fsync is final for its segment: sealed, its waiters fail, its end stays where the last good sync left it; nothing beyond
 *       is read by this process. The next append starts a new segment; if that fails, appends fail for a second, then it is tried again.
 *       (A later start may find whole records there and deliver them: nobody was promised anything, and ids make it harmless.)
 *   S6  The cursor never runs ahead of a committed transaction: it is the start of the first range that is not settled.
 *   S7  What is settled does not stay. A segment takes records for segment_us; when it is settled to its end it goes, and before that the cursor
 *       behind it is durable, as it is once a minute (or more often, if segment_us is less) whatever moved it. So what comes again after a
 *       cut of power was settled within the last minute, and even if all that says how far it was is lost, only segments come again that
 *       were not settled as a whole. How long the database knows what it stored must be far more than that: digest.h.
 *       Ages are this process's own (nothing is appended to a segment of another one) and of a clock that nobody sets.
 *
 * Numbers (2 cores, ext4 on a virtual disk): fdatasync after 64 KiB takes 250 µs at the end of a growing file, 230 µs in an fallocated one,
 * 140 µs in one that was filled with zeros, because only then is there no metadata to write. Hence the spare: the keeper fills the next
 * segment while the current one is written (keeper.c). */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/file.h>

#include "disk.h"
#include "picket/base/clock.h"
#include "picket/base/error.h"

enum { COMMIT_MAX_BYTES = 8 * 1024 * 1024, COMMIT_MAX_BLOCKS = 4096, RETRY_US = 1000 * 1000 };

/* ---- ages by the wall clock, which may be set in either direction
 *
 * Numbers of segments tell no time then: they only grow, and after a clock that was ahead is set right they are of a time to come. So it is noted where the
 * spool ends, and what the clock shows at the least from then on; when the cursor has passed that place, all that is not settled was written since. What
 * an earlier process left behind is of an unknown age. */

/* Under the lock. */
static void age_begin(struct spool *s, int64_t now_us)
{
    const struct segment *last = list_empty(&s->segments) ? NULL : container_of(s->segments.prev, struct segment, link);
    s->age.until = last ? (struct spool_pos){last->number, last->end} : s->cursor;
    s->age.least_us = now_us;
}

static void age_open(struct spool *s)
{
    int64_t now_us = clock_wall_us();
    age_begin(s, now_us);
    s->age.oldest_us = s->bytes ? SPOOL_AGE_UNKNOWN : now_us;
}

/* Under the lock. */
static void age_saw(struct spool *s, int64_t now_us)
{
    if (now_us < s->age.least_us)
        s->age.least_us = now_us;
}

int64_t spool_oldest_us(struct spool *s)
{
    int64_t now_us = clock_wall_us();
    (void)pthread_mutex_lock(&s->lock);
    age_saw(s, now_us);
    if (s->bytes == 0 || !spool_is_further(s->age.until, s->cursor)) {
        s->age.oldest_us = s->bytes == 0 ? now_us : s->age.least_us;
        age_begin(s, now_us);
    }
    int64_t oldest_us = s->age.oldest_us;
    (void)pthread_mutex_unlock(&s->lock);
    return oldest_us;
}

/* Numbers of segments are the microseconds when they were begun. */
int64_t spool_begun_us(struct spool *s)
{
    struct spool_stats stats;
    int64_t now_us = clock_wall_us();
    spool_stats(s, &stats);
    bool tells = stats.bytes > 0 && stats.cursor.segment > 0 && stats.cursor.segment < (uint64_t)now_us; /* 0: a new spool */
    return tells ? (int64_t)stats.cursor.segment : now_us;
}

/* ---- group commit: the committer's thread */

/* Under lock. */
static void current_finish(struct spool *s, enum segment_state state)
{
    struct segment *seg = s->current;
    assert(seg->state == SEGMENT_OPEN && state != SEGMENT_OPEN);
    seg->state = state;
    seg->untidy = true;
    s->current = NULL;
    s->seals += state == SEGMENT_SEALED;
    keeper_kick(s);
}

static void segment_finish(struct spool *s, enum segment_state state)
{
    (void)pthread_mutex_lock(&s->lock);
    current_finish(s, state);
    (void)pthread_mutex_unlock(&s->lock);
}

/* Under lock. Nothing comes while the disk is low: a current segment that is digested to its end would stay for ever, and its own bytes may be
 * the room that is lacking. */
static bool current_is_over(const struct spool *s)
{
    return (s->disk_low && cursor_is_at_end(s, s->current)) || segment_is_old(s, s->current);
}

/* Waits for blocks. False: none, and there will be none. */
static bool pending_wait(struct spool *s)
{
    (void)pthread_mutex_lock(&s->lock);
    while (list_empty(&s->pending) && !s->closing) {
        if (s->current && current_is_over(s))
            current_finish(s, SEGMENT_CLOSED);
        (void)pthread_cond_wait(&s->has_pending, &s->lock);
    }
    bool some = !list_empty(&s->pending);
    (void)pthread_mutex_unlock(&s->lock);
    return some;
}

static void refuse_for_a_while(struct spool *s)
{
    (void)pthread_mutex_lock(&s->lock);
    s->refuse_until_us = clock_mono_us() + RETRY_US;
    (void)pthread_mutex_unlock(&s->lock);
}

/* Afterwards spool.current has room. After a failure the next attempt is a second away. */
static int segment_ready(struct spool *s)
{
    struct segment *seg = s->current;
    if (seg && seg->end < s->config.segment_bytes && !segment_is_old(s, seg))
        return 0;
    if (seg)
        segment_finish(s, SEGMENT_CLOSED);
    if (s->refuse_until_us != 0 && clock_mono_us() < s->refuse_until_us)
        return s->last_error;
    int r = segment_create(s, &seg);
    if (r < 0) {
        refuse_for_a_while(s);
        return r;
    }
    (void)pthread_mutex_lock(&s->lock);
    list_push_back(&s->segments, &seg->link);
    s->current = seg;
    (void)pthread_mutex_unlock(&s->lock);
    return 0;
}

/* What one round writes. */
struct commit {
    struct list blocks;
    struct iovec iov[COMMIT_MAX_BLOCKS];
    unsigned n_blocks;
    uint64_t bytes, n_records;
    int64_t sync_us;
};

/* Takes blocks up to the segment's end or the round's bound, at least one. */
static void commit_take(struct spool *s, uint64_t room, struct commit *c)
{
    list_init(&c->blocks);
    c->n_blocks = 0;
    c->bytes = c->n_records = 0;
    (void)pthread_mutex_lock(&s->lock);
    while (!list_empty(&s->pending) && c->n_blocks < COMMIT_MAX_BLOCKS && c->bytes < COMMIT_MAX_BYTES && c->bytes < room) {
        struct spool_block *b = container_of(list_pop(&s->pending), struct spool_block, link);
        list_push_back(&c->blocks, &b->link);
        c->iov[c->n_blocks++] = (struct iovec){b->data, b->bytes};
        c->bytes += b->bytes;
        c->n_records += b->n_records;
    }
    (void)pthread_mutex_unlock(&s->lock);
}

static int commit_write(struct segment *seg, struct commit *c)
{
    uint64_t at = seg->end;
    for (unsigned i = 0; i < c->n_blocks; i++) {
        records_bind(c->iov[i].iov_base, c->iov[i].iov_len, seg->seed, at);
        at += c->iov[i].iov_len;
    }
    int r = disk_writev(seg->fd, c->iov, c->n_blocks, seg->end, "spool.write");
    int64_t written_us = clock_mono_us();
    if (r == 0)
        r = disk_sync(seg->fd, "spool.sync");
    c->sync_us = clock_mono_us() - written_us;
    return r < 0 ? r : disk_named(seg->fd); /* a file that somebody removed takes bytes, and no start will find them */
}

/* S3: the end moves only after a good sync. S1: and only up. */
static void commit_finish(struct spool *s, const struct commit *c, int r)
{
    int64_t now_us = clock_mono_us(), wall_us = clock_wall_us();
    (void)pthread_mutex_lock(&s->lock);
    age_saw(s, wall_us);
    s->pending_bytes -= c->bytes;
    s->appends_ended += c->n_blocks;
    LIST_EACH(&c->blocks, it) {
        const struct spool_block *b = container_of(it, struct spool_block, link);
        door_settled(&s->door, b->slot, b->bytes);
    }
    if (r == 0) {
        s->current->end += c->bytes;
        s->current->n_records += c->n_records;
        s->records_appended += c->n_records;
        s->bytes_appended += c->bytes;
        s->syncs++;
        s->refuse_until_us = 0;
        if (spare_is_due(s, now_us))
            (void)pthread_cond_signal(&s->has_chores);
    } else {
        s->bytes -= c->bytes;
        door_gone(&s->door, c->bytes, now_us);
        s->refused += c->n_blocks;
        s->last_error = r;
    }
    (void)pthread_mutex_unlock(&s->lock);
}

static void wake_claimers(struct spool *s)
{
    (void)pthread_mutex_lock(&s->wake_lock);
    if (s->wake)
        s->wake(s->wake_arg);
    (void)pthread_mutex_unlock(&s->wake_lock);
}

/* S5. A segment that could not even take its first commit says that the disk is full or broken: no new file for each further append. */
static void seal(struct spool *s)
{
    bool empty = s->current->end == SEGMENT_HEAD_BYTES;
    segment_finish(s, SEGMENT_SEALED);
    if (empty)
        refuse_for_a_while(s);
}

static void count_commit(struct spool_counts *counts, const struct commit *c)
{
    metric_observe(&counts->records, &metric_pieces, (int64_t)c->n_records);
    metric_observe(&counts->bytes, &metric_bytes, (int64_t)c->bytes);
    metric_observe(&counts->syncs, &metric_seconds, c->sync_us);
}

/* One round. */
static void commit(struct spool *s, struct commit *c)
{
    int r = segment_ready(s);
    if (r < 0) {
        commit_take(s, UINT64_MAX, c);
    } else {
        commit_take(s, s->config.segment_bytes - s->current->end, c);
        r = commit_write(s->current, c);
        if (r < 0)
            seal(s);
    }
    commit_finish(s, c, r);
    if (r == 0)
        count_commit(s->counts, c);
    ports_answer(&c->blocks, r < 0 ? -ERR_SPOOL_SEALED : 0);
    if (r == 0)
        wake_claimers(s);
}

static void *committer_main(void *arg)
{
    struct spool *s = arg;
    struct commit *c = malloc(sizeof *c);
    if (!c)
        abort(); /* M4 */
    while (pending_wait(s))
        commit(s, c);
    if (s->current)
        segment_finish(s, SEGMENT_CLOSED);
    free(c);
    return NULL;
}

/* ---- opening and closing */

static void config_copy(struct spool *s, const struct spool_config *config)
{
    size_t n = strlen(config->dir) + 1;
    s->config = *config;
    s->dir = malloc(n);
    if (!s->dir)
        abort(); /* M4 */
    memcpy(s->dir, config->dir, n);
    s->config.dir = s->dir;
    if (s->config.segment_us == 0)
        s->config.segment_us = SPOOL_SEGMENT_US;
}

static struct spool *spool_new(const struct spool_config *config)
{
    struct spool *s = calloc(1, sizeof *s);
    if (!s)
        abort(); /* M4 */
    pthread_condattr_t monotonic;
    config_copy(s, config);
    s->counts = metric_block(sizeof *s->counts);
    s->dir_fd = s->lock_fd = s->spare_fd = -1;
    (void)pthread_mutex_init(&s->lock, NULL);
    (void)pthread_mutex_init(&s->wake_lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&s->has_pending, NULL);
    (void)pthread_cond_init(&s->has_chores, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    list_init(&s->pending);
    list_init(&s->segments);
    list_init(&s->claims);
    list_init(&s->skips);
    return s;
}

static void claims_free(struct list *claims)
{
    for (struct list *it; (it = list_pop(claims)) != NULL;)
        free(container_of(it, struct claim, link));
}

static void spool_free(struct spool *s)
{
    for (struct list *it; (it = list_pop(&s->segments)) != NULL;)
        segment_free(container_of(it, struct segment, link));
    claims_free(&s->claims);
    claims_free(&s->skips);
    buf_done(&s->torn);
    (void)pthread_cond_destroy(&s->has_pending);
    (void)pthread_cond_destroy(&s->has_chores);
    (void)pthread_mutex_destroy(&s->lock);
    (void)pthread_mutex_destroy(&s->wake_lock);
    if (s->dir_fd >= 0)
        (void)close(s->dir_fd); /* a directory */
    if (s->lock_fd >= 0)
        (void)close(s->lock_fd); /* releases the lock */
    free(s->counts);
    free(s->dir);
    free(s);
}

/* A directory that was made is durable once its parent is synced; a process that died in between may have made it. Who may not open the
 * parent has made nothing in it. */
static int dir_open(struct spool *s)
{
    int made = disk_mkdir(AT_FDCWD, s->dir, "spool.dir.mkdir");
    if (made < 0)
        return made;
    s->dir_fd = disk_open(AT_FDCWD, s->dir, O_RDONLY | O_DIRECTORY, "spool.dir.open");
    if (s->dir_fd < 0)
        return s->dir_fd;
    AUTO_CLOSE int parent = disk_open(s->dir_fd, "..", O_RDONLY | O_DIRECTORY, "spool.dir.open");
    if (parent < 0)
        return parent == -EACCES && made == 0 ? 0 : parent;
    return disk_sync(parent, "spool.dir.sync");
}

static int dir_lock(struct spool *s)
{
    s->lock_fd = disk_open(s->dir_fd, "lock", O_RDWR | O_CREAT, "spool.lock.open");
    if (s->lock_fd < 0)
        return s->lock_fd;
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? -ERR_SPOOL_LOCKED : -errno;
    return 0;
}

/* Signals are for the main thread. */
static int thread_start(pthread_t *thread, void *(*run)(void *), struct spool *s)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(thread, NULL, run, s);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -r;
}

static void committer_stop(struct spool *s)
{
    (void)pthread_mutex_lock(&s->lock);
    s->closing = true;
    (void)pthread_cond_signal(&s->has_pending);
    (void)pthread_mutex_unlock(&s->lock);
    (void)pthread_join(s->committer, NULL);
}

static void keeper_stop(struct spool *s)
{
    (void)pthread_mutex_lock(&s->lock);
    s->keeper_stop = true;
    (void)pthread_cond_signal(&s->has_chores);
    (void)pthread_mutex_unlock(&s->lock);
    (void)pthread_join(s->keeper, NULL);
}

static int threads_start(struct spool *s)
{
    int r = thread_start(&s->committer, committer_main, s);
    if (r < 0)
        return r;
    r = thread_start(&s->keeper, keeper_main, s);
    if (r < 0)
        committer_stop(s);
    return r;
}

int spool_open(const struct spool_config *config, struct spool **ret, struct spool_recovery *ret_recovery)
{
    struct spool *s = spool_new(config);
    struct spool_recovery recovery;
    int r = dir_open(s);
    if (r == 0)
        r = dir_lock(s);
    if (r == 0) {
        quarantine_measure(s);
        r = spool_recover(s, &recovery);
    }
    if (r == 0) {
        door_init(&s->door, config->delay_us, config->max_bytes, config->max_pending_bytes, s->bytes, clock_mono_us());
        spool_floor_check(s);
        age_open(s);
        r = threads_start(s);
    }
    if (r < 0) {
        spool_free(s);
        return r;
    }
    *ret = s;
    if (ret_recovery)
        *ret_recovery = recovery;
    return 0;
}

void spool_close(struct spool *s)
{
    if (!s)
        return;
    assert(s->n_ports == 0);
    committer_stop(s);
    keeper_stop(s);
    spool_free(s);
}

/* ---- the rest */

struct id128 spool_node(const struct spool *s)
{
    return s->node;
}

void spool_on_durable(struct spool *s, void (*wake)(void *arg), void *arg)
{
    (void)pthread_mutex_lock(&s->wake_lock);
    s->wake = wake;
    s->wake_arg = arg;
    (void)pthread_mutex_unlock(&s->wake_lock);
}

void spool_on_damage(struct spool *s, void (*tell)(void *arg, const struct spool_range *where), void *arg)
{
    s->tell = tell;
    s->tell_arg = arg;
    const struct spool_range *torn = (const struct spool_range *)s->torn.p;
    for (size_t n = s->torn.n / sizeof *torn; tell && n > 0; n--, torn++)
        tell(arg, torn);
    if (tell)
        buf_clear(&s->torn);
}

void spool_stats(struct spool *s, struct spool_stats *ret)
{
    (void)pthread_mutex_lock(&s->lock);
    struct list *last = s->segments.prev;
    const struct segment *seg = last == &s->segments ? NULL : container_of(last, struct segment, link);
    *ret = (struct spool_stats){
        .bytes = s->bytes,
        .records_appended = s->records_appended,
        .syncs = s->syncs,
        .refused = s->refused,
        .turned_away = s->turned_away,
        .quarantined = s->quarantined,
        .seals = s->seals,
        .last_error = s->last_error,
        .cursor = s->cursor,
        .synced = seg ? (struct spool_pos){seg->number, seg->end} : s->cursor,
        .appends_queued = s->appends_queued,
        .appends_ended = s->appends_ended,
    };
    (void)pthread_mutex_unlock(&s->lock);
}
