/* cursor.c: handing records out in order and knowing what is settled.
 *
 * claim_at goes ahead: below it everything was claimed or skipped at least once. spool.claims holds what was claimed and not settled, in
 * order; a released claim stays there, marked, and is handed out again before anything new. So the cursor is the start of the first claim,
 * or claim_at when there is none: it can never pass a record whose transaction did not commit (S6), whatever finished behind it.
 *
 * No index of records is kept. To find where a range ends, the claimer reads record headers, outside the lock; if another claimer was
 * quicker it starts over from where that one stopped. Places whose header is invalid are quarantined and settled here, so that callers
 * never see an empty range. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>

#include "disk.h"
#include "picket/base/clock.h"
#include "picket/base/error.h"
#include "picket/base/hash.h"

/* ---- under lock */

static struct spool_pos segment_start(const struct segment *seg)
{
    return (struct spool_pos){seg->number, SEGMENT_HEAD_BYTES};
}

static struct segment *segment_at_or_after(struct spool *s, uint64_t number)
{
    LIST_EACH(&s->segments, it) {
        struct segment *seg = container_of(it, struct segment, link);
        if (seg->number >= number)
            return seg;
    }
    return NULL;
}

static struct claim *first_claim(struct list *l)
{
    struct list *it = list_first(l);
    return it ? container_of(it, struct claim, link) : NULL;
}

static bool range_before(const struct spool_range *a, const struct spool_range *b)
{
    return a->segment != b->segment ? a->segment < b->segment : a->from < b->from;
}

static struct claim *claim_insert(struct list *l, const struct spool_range *range, enum claim_state state)
{
    struct claim *c = malloc(sizeof *c);
    if (!c)
        abort(); /* M4 */
    *c = (struct claim){.range = *range, .state = state};
    struct list *after = l->prev;
    while (after != l && range_before(range, &container_of(after, struct claim, link)->range))
        after = after->prev;
    list_push_front(after, &c->link); /* behind `after` */
    return c;
}

static void claim_free(struct claim *c)
{
    list_remove(&c->link);
    free(c);
}

static struct claim *claim_find(struct spool *s, const struct spool_range *range)
{
    LIST_EACH(&s->claims, it) {
        struct claim *c = container_of(it, struct claim, link);
        if (c->range.segment == range->segment && c->range.from == range->from)
            return c;
    }
    return NULL;
}

/* Drops the skips that claim_at has reached and moves over them. True when it moved or dropped one. */
static bool skip_over(struct spool *s, const struct segment *seg)
{
    struct claim *skip = first_claim(&s->skips);
    if (!skip || skip->range.segment > seg->number || (skip->range.segment == seg->number && skip->range.from > s->claim_at.offset))
        return false;
    uint64_t to = skip->range.to < seg->end ? skip->range.to : seg->end;
    if (skip->range.segment == seg->number && to > s->claim_at.offset)
        s->claim_at.offset = to;
    claim_free(skip);
    return true;
}

/* The segment in which the next claim begins, after moving claim_at over skips and ends; NULL when there is no segment at all. */
static struct segment *claim_segment(struct spool *s)
{
    struct segment *seg = segment_at_or_after(s, s->claim_at.segment);
    while (seg) {
        if (seg->number != s->claim_at.segment)
            s->claim_at = segment_start(seg);
        if (skip_over(s, seg))
            continue;
        bool more = s->claim_at.offset < seg->end || seg->state == SEGMENT_OPEN;
        if (more || seg->link.next == &s->segments)
            return seg;
        seg = container_of(seg->link.next, struct segment, link);
    }
    return NULL;
}

bool cursor_is_at_end(const struct spool *s, const struct segment *seg)
{
    return seg->end > SEGMENT_HEAD_BYTES && s->cursor.segment == seg->number && s->cursor.offset == seg->end;
}

static uint64_t bytes_between(struct spool *s, struct spool_pos from, struct spool_pos to)
{
    uint64_t bytes = 0;
    for (struct segment *seg = segment_at_or_after(s, from.segment); seg && seg->number <= to.segment;
         seg = segment_at_or_after(s, seg->number + 1)) {
        uint64_t start = seg->number == from.segment ? from.offset : SEGMENT_HEAD_BYTES;
        uint64_t end = seg->number == to.segment ? to.offset : seg->end;
        bytes += end > start ? end - start : 0;
    }
    return bytes;
}

void cursor_advance(struct spool *s)
{
    (void)claim_segment(s);
    const struct claim *first = first_claim(&s->claims);
    struct spool_pos to = first ? (struct spool_pos){first->range.segment, first->range.from} : s->claim_at;
    if (to.segment == s->cursor.segment && to.offset == s->cursor.offset)
        return;
    uint64_t passed = bytes_between(s, s->cursor, to);
    assert(passed <= s->bytes);
    s->bytes -= passed;
    door_gone(&s->door, passed, clock_mono_us());
    if (to.segment != s->cursor.segment || !s->cursor_dirty)
        keeper_kick(s); /* segments to remove, or from now on something to save */
    s->cursor = to;
    s->cursor_dirty = true;
}

/* ---- finding where a range ends: no lock */

struct head_window {
    _Alignas(8) char p[4096];
    uint64_t at;
    size_t n;
};

/* Many small records at once; of a large one, which the last was, too, nothing but its header. */
static size_t window_bytes(const struct head_window *w, uint64_t at)
{
    return w->n > 0 && at - w->at >= sizeof w->p ? RECORD_HEAD_BYTES : sizeof w->p;
}

/* 1: *ret is the valid header at `at`; 0: what stands there is none; <0: unreadable. `at` ascends. */
static int head_at(const struct segment *seg, struct head_window *w, uint64_t at, uint64_t limit, struct record_head *ret)
{
    if (at + RECORD_HEAD_BYTES > limit)
        return 0;
    if (at < w->at || at + RECORD_HEAD_BYTES > w->at + w->n) {
        size_t want = window_bytes(w, at);
        want = limit - at < want ? (size_t)(limit - at) : want;
        int n = disk_salvage(seg->fd, w->p, want, at, "spool.claim.read", NULL);
        if (n < 0)
            return n;
        w->at = at;
        w->n = (size_t)n;
        if (n < RECORD_HEAD_BYTES)
            return 0;
    }
    memcpy(ret, w->p + (at - w->at), sizeof *ret);
    return record_head_valid(ret, seg->seed, at, limit);
}

/* Hours since 1970 UTC: a range is one hour's, because the digest counts per hour and looks for duplicates per day. */
static int64_t hour_of(int64_t us)
{
    return us >= 0 ? us / CLOCK_US_PER_HOUR : (us + 1) / CLOCK_US_PER_HOUR - 1;
}

/* Sets range->to and n_records (0: damaged bytes up to range->to). */
static int range_measure(const struct segment *seg, uint64_t limit, unsigned max_records, uint64_t max_bytes, struct spool_range *range)
{
    struct head_window w = {.n = 0};
    struct record_head head;
    int64_t hour = 0;
    uint64_t at = range->from;
    int r = 0;
    range->n_records = 0;
    while (at < limit && range->n_records < max_records && (r = head_at(seg, &w, at, limit, &head)) > 0) {
        uint64_t next = at + record_bytes_padded(head.bytes);
        bool fits = range->n_records == 0 || (next - range->from <= max_bytes && hour_of(head.received_us) == hour);
        if (!fits)
            break;
        hour = hour_of(head.received_us);
        range->n_records++;
        at = next;
    }
    range->to = at;
    if (r < 0 || range->n_records > 0)
        return range->n_records > 0 ? 0 : r;
    r = record_find(seg->fd, seg->seed, at + 8, limit, &range->to, NULL);
    if (r == 0)
        range->to = limit;
    return r < 0 ? r : 0;
}

/* ---- claiming */

/* A released range goes out again as it was; if the caller takes fewer records than it has, the rest stays released. */
static int claim_again(struct spool *s, unsigned max_records, uint64_t max_bytes, struct spool_range *ret)
{
    struct claim *c = NULL;
    LIST_EACH(&s->claims, it) {
        c = container_of(it, struct claim, link);
        if (c->state == CLAIM_RELEASED)
            break;
    }
    assert(c && c->state == CLAIM_RELEASED);
    c->state = CLAIM_TAKEN;
    s->n_released--;
    *ret = c->range;
    (void)pthread_mutex_unlock(&s->lock);
    if (ret->n_records <= max_records && ret->to - ret->from <= max_bytes)
        return 1;

    struct spool_range part = *ret;
    struct segment *seg;
    int r = segment_ref(s, ret->segment, &seg);
    if (r == 0) {
        r = range_measure(seg, ret->to, max_records, max_bytes, &part);
        segment_unref(s, seg);
    }
    if (r < 0 || part.n_records == 0) { /* header unreadable since the first claim */
        spool_release(s, ret);
        return r < 0 ? r : -ERR_SPOOL_CORRUPT;
    }
    if (part.to == ret->to)
        return 1;
    (void)pthread_mutex_lock(&s->lock);
    c = claim_find(s, ret);
    c->range = part;
    struct spool_range rest = {ret->segment, part.to, ret->to, ret->n_records - part.n_records};
    claim_insert(&s->claims, &rest, CLAIM_RELEASED);
    s->n_released++;
    (void)pthread_mutex_unlock(&s->lock);
    *ret = part;
    return 1;
}

/* Where the next new range begins and what bounds it. False: nothing there. */
static bool claim_start(struct spool *s, struct spool_range *ret, uint64_t *ret_limit)
{
    const struct segment *seg = claim_segment(s);
    if (!seg || s->claim_at.offset >= seg->end)
        return false;
    const struct claim *skip = first_claim(&s->skips);
    *ret = (struct spool_range){.segment = seg->number, .from = s->claim_at.offset};
    *ret_limit = skip && skip->range.segment == seg->number && skip->range.from < seg->end ? skip->range.from : seg->end;
    return true;
}

/* 1: the range is the caller's; 0: another claimer was quicker. */
static int claim_take(struct spool *s, const struct spool_range *range)
{
    (void)pthread_mutex_lock(&s->lock);
    bool ours = s->claim_at.segment == range->segment && s->claim_at.offset == range->from;
    if (ours) {
        claim_insert(&s->claims, range, CLAIM_TAKEN);
        s->claim_at.offset = range->to;
    }
    (void)pthread_mutex_unlock(&s->lock);
    return ours;
}

/* The file was taken away from under us: what it held is lost, what comes behind it is not. */
static void claim_lost(struct spool *s, uint64_t limit, struct spool_range *range)
{
    range->to = limit;
    if (claim_take(s, range) == 0)
        return;
    quarantine_tell(s, range->segment, range->from, range->to);
    spool_settle(s, range);
}

/* 1: *range claimed; 0: try again; <0: error. */
static int claim_new(struct spool *s, uint64_t limit, unsigned max_records, uint64_t max_bytes, struct spool_range *range)
{
    struct segment *seg;
    int r = segment_ref(s, range->segment, &seg);
    if (r == -ENOENT)
        claim_lost(s, limit, range);
    if (r < 0)
        return r == -ESTALE || r == -ENOENT ? 0 : r;
    r = range_measure(seg, limit, max_records, max_bytes, range);
    if (r == 0)
        r = claim_take(s, range);
    if (r == 1 && range->n_records == 0) {
        quarantine_file_part(s, seg, range->from, range->to);
        spool_settle(s, range);
        r = 0;
    }
    segment_unref(s, seg);
    return r;
}

int spool_claim(struct spool *s, unsigned max_records, uint64_t max_bytes, struct spool_range *ret)
{
    assert(max_records > 0);
    for (;;) {
        struct spool_range range;
        uint64_t limit;
        (void)pthread_mutex_lock(&s->lock);
        if (s->n_released > 0)
            return claim_again(s, max_records, max_bytes, ret); /* unlocks */
        bool some = claim_start(s, &range, &limit);
        (void)pthread_mutex_unlock(&s->lock);
        if (!some)
            return 0;
        int r = claim_new(s, limit, max_records, max_bytes, &range);
        if (r > 0)
            *ret = range;
        if (r != 0)
            return r;
    }
}

void spool_settle(struct spool *s, const struct spool_range *range)
{
    (void)pthread_mutex_lock(&s->lock);
    struct claim *c = claim_find(s, range);
    assert(c && c->state == CLAIM_TAKEN && c->range.to == range->to);
    claim_free(c);
    cursor_advance(s);
    (void)pthread_mutex_unlock(&s->lock);
}

void spool_release(struct spool *s, const struct spool_range *range)
{
    (void)pthread_mutex_lock(&s->lock);
    struct claim *c = claim_find(s, range);
    assert(c && c->state == CLAIM_TAKEN && c->range.to == range->to);
    c->state = CLAIM_RELEASED;
    s->n_released++;
    (void)pthread_mutex_unlock(&s->lock);
}

void spool_skip(struct spool *s, const struct spool_range *range)
{
    (void)pthread_mutex_lock(&s->lock);
    bool passed = range->segment < s->cursor.segment || (range->segment == s->cursor.segment && range->to <= s->cursor.offset);
    if (!passed) {
        claim_insert(&s->skips, range, CLAIM_TAKEN);
        cursor_advance(s);
    }
    (void)pthread_mutex_unlock(&s->lock);
}

/* ---- reading */

int spool_heads(struct spool *s, const struct spool_range *range, struct spool_record *records)
{
    struct head_window w = {.n = 0};
    struct record_head head;
    struct segment *seg;
    unsigned n = 0;
    int r = segment_ref(s, range->segment, &seg);
    if (r < 0)
        return r;
    for (uint64_t at = range->from; r >= 0 && at < range->to && n < range->n_records;) {
        r = head_at(seg, &w, at, range->to, &head);
        if (r == 0) { /* damaged since it was claimed */
            r = record_find(seg->fd, seg->seed, at + 8, range->to, &at, NULL);
            if (r == 0)
                break;
        } else if (r > 0) {
            record_decode(&head, &records[n]);
            records[n].meta = records[n].payload = STR("");
            at += record_bytes_padded(head.bytes);
            n++;
        }
    }
    segment_unref(s, seg);
    return r < 0 ? r : (int)n;
}

/* What was read of a range: n bytes from `at` on lie at p. */
struct part {
    const struct segment *seg;
    const struct spool_range *range;
    uint64_t at;
    const char *p;
    size_t n;
    bool is_last;
};

/* What is damaged is kept aside and left out. *ret_to is behind the last valid record: what follows is for the next part, so that damage is kept in one piece. */
static unsigned part_decode(struct spool *s, const struct part *part, struct spool_record *records, unsigned max_records, uint64_t *ret_to)
{
    unsigned found = 0;
    uint64_t at = part->at, end = part->at + part->n, damaged = at;
    while (at < end) {
        const struct record_head *h = (const struct record_head *)(part->p + (at - part->at));
        bool is_head = at + RECORD_HEAD_BYTES <= end && record_head_valid(h, part->seg->seed, at, part->range->to);
        bool is_cut = at + RECORD_HEAD_BYTES > end || (is_head && at + record_bytes_padded(h->bytes) > end);
        if (is_cut && !part->is_last)
            break;
        bool is_record = is_head && !is_cut && record_body_valid(h) && found < max_records;
        if (is_record && damaged < at)
            quarantine_bytes(s, part->range->segment, damaged, str_of(part->p + (damaged - part->at), (size_t)(at - damaged)));
        if (is_record)
            record_decode(h, &records[found++]);
        at += is_head ? record_bytes_padded(h->bytes) : 8;
        if (is_record)
            damaged = at;
    }
    if (damaged < end && part->is_last)
        quarantine_bytes(s, part->range->segment, damaged, str_of(part->p + (damaged - part->at), (size_t)(end - damaged)));
    *ret_to = damaged;
    return found;
}

int spool_read_part(struct spool *s, const struct spool_range *range, uint64_t *at, size_t max_bytes, struct buf *buf,
                    struct spool_record *records, unsigned max_records)
{
    struct part part = {.range = range, .at = *at};
    struct segment *seg;
    uint64_t to = *at;
    unsigned found = 0;
    int r = segment_ref(s, range->segment, &seg);
    if (r < 0)
        return r;
    part.seg = seg;
    for (size_t want = max_bytes; r >= 0 && to == *at && !part.is_last; want *= 2) { /* a record, or damage, may be larger than a part */
        size_t left = (size_t)(range->to - *at);
        part.n = want < left ? want : left;
        buf_clear(buf);
        buf_reserve(buf, part.n);
        r = disk_salvage(seg->fd, buf->p, part.n, *at, "spool.read", NULL);
        if (r < 0)
            break;
        part.is_last = (size_t)r < part.n || part.n == left; /* the file may be shorter than it was */
        part.p = buf->p;
        buf->n = part.n = (size_t)r;
        found = part_decode(s, &part, records, max_records, &to);
    }
    segment_unref(s, seg);
    if (r < 0)
        return r;
    *at = part.is_last ? range->to : to;
    return (int)found;
}

int spool_read(struct spool *s, const struct spool_range *range, struct buf *buf, struct spool_record *records)
{
    uint64_t at = range->from;
    return spool_read_part(s, range, &at, SIZE_MAX, buf, records, range->n_records);
}

/* ---- the cursor's files: each is one small record, replaced as a whole. They may lag (redelivery is harmless), never lead (S6).
 *
 * There are two, because a file that is replaced without a sync may be empty after a cut of power, and with it what a sync had made sure of before.
 * So `cursor` is quick and `cursor.kept` lasts; of what they say the position that is further is right, and one bad sector takes one of them only. */

#define CURSOR_MAGIC UINT64_C(0x524f5352554354b5)
struct cursor_file {
    uint64_t magic;
    struct spool_pos pos;
    uint64_t sum;
};

static const struct {
    const char *made_as, *name;
    const char *open, *read, *write, *sync, *rename; /* fault points; sync NULL: not synced */
} cursor_files[] = {
    [CURSOR_QUICK] = {"cursor.tmp", "cursor", "spool.cursor.open", "spool.cursor.read", "spool.cursor.write", NULL, "spool.cursor.rename"},
    [CURSOR_DURABLE] = {"kept.tmp", "cursor.kept", "spool.kept.open", "spool.kept.read", "spool.kept.write", "spool.kept.sync",
                        "spool.kept.rename"},
};

int cursor_write(struct spool *s, struct spool_pos pos, enum cursor_save how)
{
    const char *made_as = cursor_files[how].made_as, *sync = cursor_files[how].sync;
    struct cursor_file f = {.magic = CURSOR_MAGIC, .pos = pos};
    f.sum = hash64(&f, offsetof(struct cursor_file, sum));
    AUTO_CLOSE int fd = disk_open(s->dir_fd, made_as, O_WRONLY | O_CREAT | O_TRUNC, cursor_files[how].open);
    int r = fd < 0 ? fd : disk_write(fd, &f, sizeof f, 0, cursor_files[how].write);
    if (r == 0 && sync)
        r = disk_sync(fd, sync);
    if (r == 0)
        r = disk_rename(s->dir_fd, made_as, cursor_files[how].name, cursor_files[how].rename);
    if (r == 0 && sync)
        r = disk_sync(s->dir_fd, sync);
    return r;
}

/* 1: *ret is what it says; 0: no such file; -EIO: it says nothing, or the disk cannot read it any more. */
static int cursor_read(struct spool *s, enum cursor_save how, struct spool_pos *ret)
{
    struct cursor_file f;
    AUTO_CLOSE int fd = disk_open(s->dir_fd, cursor_files[how].name, O_RDONLY, cursor_files[how].open);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    int r = disk_read(fd, &f, sizeof f, 0, cursor_files[how].read);
    if (r < 0)
        return r;
    if (r < (int)sizeof f || f.magic != CURSOR_MAGIC || f.sum != hash64(&f, offsetof(struct cursor_file, sum)))
        return -EIO;
    *ret = f.pos;
    return 1;
}

bool spool_is_further(struct spool_pos a, struct spool_pos b)
{
    return a.segment != b.segment ? a.segment > b.segment : a.offset > b.offset;
}

/* Missing and damaged files mean: from the start of what is there. What was digested comes again then and is not stored twice, while a start that was
 * refused would keep the rest from being stored at all. Nothing is written to such a file: it is replaced by another. */
int cursor_load(struct spool *s, bool *ret_lost)
{
    struct spool_pos quick = {0, 0}, kept = {0, 0};
    int r_quick = cursor_read(s, CURSOR_QUICK, &quick), r_kept = cursor_read(s, CURSOR_DURABLE, &kept);
    if (r_quick < 0 && r_quick != -EIO)
        return r_quick;
    if (r_kept < 0 && r_kept != -EIO)
        return r_kept;
    *ret_lost = r_quick <= 0 && r_kept <= 0 && (r_quick < 0 || r_kept < 0);
    s->cursor = spool_is_further(kept, quick) ? kept : quick;
    s->kept = kept;
    return 0;
}
