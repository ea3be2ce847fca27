/* recovery.c: what a start finds on disk, and what it makes of it.
 *
 * A segment that was finished in good order ends in a trailer, whose place and checksum prove that everything below it was synced: it is
 * taken as it is, and damage inside is found when it is read. A segment without one (the process died, or the segment was sealed) is read
 * from the cursor on, record by record. Its end is behind the last valid record; what follows is the torn tail of commits that nobody was
 * told of, unless the disk damaged the last ones since: it is cut, after a copy went to the quarantine. Damage before the end stays where it is: claiming steps over it and quarantines the bytes (cursor.c).
 *
 * Nothing is appended to an old segment. Nothing here trusts a byte: sizes are checked before they are used, and a header counts only if
 * its checksum, seeded with node and segment number, fits its place. A damaged segment header costs nothing: all it says is known.
 *
 * Bad sectors read as zeros (disk_salvage), so they are damage like any other; but a segment that has them is not cut.
 *
 * A sound header of another version is no damage: its records were promised too, and only the release that wrote them can read them. A
 * start that meets one refuses before it has changed anything, unless the cursor says that all of it is digested. */
#include "internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "disk.h"
#include "picket/base/error.h"
#include "picket/base/hash.h"

/* ---- the node's id: 32 hex digits and a newline */

static int node_write(struct spool *s)
{
    char text[ID_HEX + 1];
    id_hex(&s->node, text);
    text[ID_HEX] = '\n';
    AUTO_CLOSE int fd = disk_open(s->dir_fd, "node.tmp", O_WRONLY | O_CREAT | O_TRUNC, "spool.node.open");
    int r = fd < 0 ? fd : disk_write(fd, text, sizeof text, 0, "spool.node.write");
    if (r == 0)
        r = disk_sync(fd, "spool.node.sync");
    if (r == 0)
        r = disk_rename(s->dir_fd, "node.tmp", "node", "spool.node.rename");
    if (r == 0)
        r = disk_sync(s->dir_fd, "spool.dir.sync");
    return r;
}

/* 1: read; 0: missing or damaged. */
static int node_read(struct spool *s)
{
    char text[ID_HEX + 1];
    AUTO_CLOSE int fd = disk_open(s->dir_fd, "node", O_RDONLY, "spool.node.open");
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    int r = disk_read(fd, text, sizeof text, 0, "spool.node.read");
    if (r < 0)
        return r;
    return r >= ID_HEX && id_parse(str_of(text, ID_HEX), &s->node);
}

enum head_state { HEAD_DAMAGED, HEAD_VALID, HEAD_FOREIGN };

/* <0: unreadable. *ret means nothing when it is damaged. */
static int segment_head_read(struct spool *s, uint64_t number, struct segment_head *ret)
{
    char name[SEGMENT_NAME_MAX];
    _Alignas(struct segment_head) char p[HEAD_MAX_BYTES];
    segment_name(number, name);
    AUTO_CLOSE int fd = disk_open(s->dir_fd, name, O_RDONLY, "spool.recover.open");
    if (fd < 0)
        return fd;
    int r = disk_salvage(fd, p, sizeof p, 0, "spool.recover.read", NULL);
    if (r < (int)sizeof *ret)
        return r < 0 ? r : HEAD_DAMAGED;
    memcpy(ret, p, sizeof *ret);
    if (segment_head_foreign((const struct segment_head *)p, (size_t)r))
        return HEAD_FOREIGN;
    return segment_head_valid(ret) && ret->number == number ? HEAD_VALID : HEAD_DAMAGED;
}

/* The file, else what the segments say, else a new one. A file on a bad sector (EIO) is as good as missing while a segment says it, or there is none:
 * without the id no record of a segment whose header is bad, too, could be told from garbage, and the disk may yet give it. */
static int node_find(struct spool *s, const uint64_t *numbers, size_t n)
{
    struct segment_head head;
    int r = node_read(s);
    bool is_bad = r == -EIO;
    if (is_bad)
        r = 0;
    for (size_t i = 0; r == 0 && i < n; i++) {
        r = segment_head_read(s, numbers[i], &head);
        if (r > 0)
            s->node = head.node;
        if (r > 0)
            return node_write(s);
    }
    if (r == 0 && is_bad && n > 0)
        return -EIO;
    if (r != 0)
        return r < 0 ? r : 0;
    s->node = id_random();
    return node_write(s);
}

/* ---- segments of another version */

/* 1: the cursor stands at the trailer, so nothing is left to be digested. */
static int segment_digested(struct spool *s, uint64_t number, const struct segment_head *head)
{
    char name[SEGMENT_NAME_MAX];
    _Alignas(struct record_head) char p[HEAD_MAX_BYTES];
    struct stat st;
    uint64_t at = s->cursor.offset;
    segment_name(number, name);
    if (number != s->cursor.segment)
        return 0;
    AUTO_CLOSE int fd = disk_open(s->dir_fd, name, O_RDONLY, "spool.recover.open");
    if (fd < 0 || fstat(fd, &st) < 0)
        return fd < 0 ? fd : -errno;
    uint64_t size = (uint64_t)st.st_size;
    if (size < at || size - at > sizeof p)
        return 0;
    int r = disk_salvage(fd, p, (size_t)(size - at), at, "spool.recover.read", NULL);
    if (r < 0)
        return r;
    return segment_trailer_any((const struct record_head *)p, (size_t)r, segment_seed(&head->node, number), at);
}

/* Refuses what this release can neither read nor leave alone. Afterwards a foreign segment is one that is digested. */
static int versions_check(struct spool *s, const uint64_t *numbers, size_t n)
{
    struct segment_head head;
    for (size_t i = 0; i < n; i++) {
        if (numbers[i] < s->cursor.segment)
            continue;
        int r = segment_head_read(s, numbers[i], &head);
        if (r < 0)
            return r;
        int digested = r == HEAD_FOREIGN ? segment_digested(s, numbers[i], &head) : 1;
        if (digested <= 0)
            return digested < 0 ? digested : -ERR_SPOOL_VERSION;
    }
    return 0;
}

/* ---- one segment */

struct walk {
    uint64_t at;
    uint64_t end;  /* of the last valid record, or where a trailer says that the records end */
    uint64_t tail; /* what follows them and their trailer */
    uint64_t records, damaged_bytes;
    uint64_t lost_to; /* end of the last block that the disk does not give; 0: none */
};

/* 1: a valid record's header in *h; 0: not one. */
static int walk_head(int fd, const struct segment *seg, uint64_t at, uint64_t size, struct record_head *h, uint64_t *lost_to)
{
    int r = disk_salvage(fd, h, sizeof *h, at, "spool.recover.read", lost_to);
    if (r < 0)
        return r;
    return r == (int)sizeof *h && record_head_valid(h, seg->seed, at, size);
}

/* 1: the body fits the header. */
static int walk_body(int fd, const struct record_head *h, struct buf *buf, uint64_t *lost_to)
{
    buf_clear(buf);
    buf_reserve(buf, h->bytes);
    int r = disk_salvage(fd, buf->p, h->bytes, h->offset, "spool.recover.read", lost_to);
    if (r < 0)
        return r;
    return (uint32_t)r == h->bytes && record_body_valid((const struct record_head *)buf->p);
}

/* Goes on at the next valid header, or at the end of the file. */
static int walk_resume(int fd, const struct segment *seg, uint64_t size, struct walk *w)
{
    uint64_t next;
    int r = record_find(fd, seg->seed, w->at + 8, size, &next, &w->lost_to);
    w->at = r > 0 ? next : size;
    return r < 0 ? r : 0;
}

static int segment_walk(int fd, const struct segment *seg, uint64_t size, struct walk *w)
{
    AUTO_BUF struct buf buf = {0};
    struct record_head h;
    w->end = w->tail = w->at;
    while (w->at + RECORD_HEAD_BYTES <= size) {
        int r = walk_head(fd, seg, w->at, size, &h, &w->lost_to);
        if (r > 0 && h.kind == RECORD_KIND_TRAILER) { /* not at the file's end: a cut of power took the cut before it back */
            w->damaged_bytes += w->at - w->end;
            w->end = w->at;
            w->tail = w->at + record_bytes_padded(h.bytes);
            return 0;
        }
        if (r == 0)
            r = walk_resume(fd, seg, size, w);
        else if (r > 0 && (r = walk_body(fd, &h, &buf, &w->lost_to)) == 0)
            w->at += record_bytes_padded(h.bytes);
        else if (r > 0) {
            w->damaged_bytes += w->at - w->end;
            w->at += record_bytes_padded(h.bytes);
            w->end = w->tail = w->at;
            w->records++;
        }
        if (r < 0)
            return r;
    }
    return 0;
}

/* Bytes behind the tail's beginning up to the last one that is not zero, or cannot be read: zeros are the spare's filling. */
static int torn_bytes(int fd, struct walk *w, uint64_t size, uint64_t *ret)
{
    AUTO_BUF struct buf buf = {0};
    enum { STEP = 64 * 1024 };
    uint64_t last = w->tail;
    buf_reserve(&buf, STEP);
    for (uint64_t at = w->tail; at < size; at += STEP) {
        int n = disk_salvage(fd, buf.p, STEP, at, "spool.recover.read", &w->lost_to);
        if (n < 0)
            return n;
        while (n > 0 && buf.p[n - 1] == 0)
            n--;
        if (n > 0)
            last = at + (uint64_t)n;
    }
    *ret = (w->lost_to > last ? w->lost_to : last) - w->tail;
    return 0;
}

/* True when the file ends in a trailer that fits. */
static int trailer_read(int fd, struct segment *seg, uint64_t size)
{
    struct record_head t;
    if (size < SEGMENT_HEAD_BYTES + RECORD_HEAD_BYTES || size % 8 != 0)
        return 0;
    uint64_t at = size - RECORD_HEAD_BYTES;
    int r = walk_head(fd, seg, at, size, &t, NULL);
    if (r <= 0 || t.kind != RECORD_KIND_TRAILER)
        return r < 0 ? r : 0;
    seg->end = at;
    seg->n_records = t.project_id;
    return 1;
}

/* Cuts the tail and writes the trailer. Failing (a read-only disk) is harmless: the end is known now, and will be found again. */
static void segment_repair(const struct spool *s, struct segment *seg, int fd)
{
    int r = segment_write_trailer(s, seg, fd);
    if (r == 0)
        r = disk_sync(fd, "spool.recover.sync");
    (void)r;
}

static int segment_measure(struct spool *s, struct segment *seg, int fd, uint64_t from, struct spool_recovery *sum)
{
    struct stat st;
    struct walk w = {.at = from};
    uint64_t torn = 0;
    if (fstat(fd, &st) < 0)
        return -errno;
    uint64_t size = (uint64_t)st.st_size;
    int r = trailer_read(fd, seg, size);
    if (r != 0) {
        sum->records += r > 0 ? seg->n_records : 0;
        return r < 0 ? r : 0;
    }
    if (from > size)
        w.at = size & ~UINT64_C(7);
    r = segment_walk(fd, seg, size, &w);
    if (r == 0)
        r = torn_bytes(fd, &w, size, &torn);
    if (r < 0)
        return r;
    if (torn > 0)
        quarantine_torn(s, seg, fd, w.tail, w.tail + torn);
    seg->end = w.end > SEGMENT_HEAD_BYTES ? w.end : SEGMENT_HEAD_BYTES;
    seg->n_records = w.records;
    sum->records += w.records;
    sum->torn_bytes += torn;
    sum->quarantined_bytes += w.damaged_bytes;
    if (w.lost_to == 0) /* what is not read today may be read at another start */
        segment_repair(s, seg, fd);
    return 0;
}

/* One that is digested. */
static void passed_remove(struct spool *s, uint64_t number)
{
    char name[SEGMENT_NAME_MAX];
    segment_name(number, name);
    int r = disk_unlink(s->dir_fd, name, "spool.recover.unlink");
    (void)r; /* tried again at the next start */
}

static int segment_recover(struct spool *s, uint64_t number, struct spool_recovery *sum)
{
    char name[SEGMENT_NAME_MAX];
    struct segment_head head;
    segment_name(number, name);
    uint64_t from = number == s->cursor.segment ? s->cursor.offset : SEGMENT_HEAD_BYTES;
    int r = segment_head_read(s, number, &head);
    if (r == HEAD_FOREIGN)
        passed_remove(s, number);
    if (r < 0 || r == HEAD_FOREIGN)
        return r < 0 ? r : 0;
    AUTO_CLOSE int fd = disk_open(s->dir_fd, name, O_RDWR, "spool.recover.open");
    if (fd == -EROFS || fd == -EACCES)
        fd = disk_open(s->dir_fd, name, O_RDONLY, "spool.recover.open");
    if (fd < 0)
        return fd;
    struct segment *seg = segment_new(s, number);
    seg->state = SEGMENT_CLOSED;
    if (r == HEAD_VALID)
        seg->seed = segment_seed(&head.node, number); /* a file moved here from another node's spool keeps its own */
    r = segment_measure(s, seg, fd, from, sum);
    if (r < 0) {
        segment_free(seg);
        return r;
    }
    list_push_back(&s->segments, &seg->link);
    s->bytes += seg->end > from ? seg->end - from : 0;
    sum->segments++;
    return 0;
}

/* ---- the directory */

static int number_cmp(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Segment numbers, ascending, as uint64_t in `ret`. */
static int segments_list(struct spool *s, struct buf *ret)
{
    uint64_t number;
    int fd = disk_open(s->dir_fd, ".", O_RDONLY | O_DIRECTORY, "spool.recover.open");
    if (fd < 0)
        return fd;
    DIR *dir = fdopendir(fd);
    if (!dir) {
        (void)close(fd); /* nothing was read */
        return -errno;
    }
    errno = 0;
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        if (segment_name_parse(e->d_name, &number))
            buf_append(ret, &number, sizeof number);
    int r = -errno;
    (void)closedir(dir); /* only read */
    if (r == 0 && ret->n > 0)
        qsort(ret->p, ret->n / sizeof number, sizeof number, number_cmp);
    return r;
}

/* What an earlier run left half made. */
static void leftovers_remove(struct spool *s)
{
    static const char *const names[] = {SPARE_NAME, "new", "cursor.tmp", "kept.tmp", "node.tmp"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        int r = disk_unlink(s->dir_fd, names[i], "spool.recover.unlink");
        (void)r; /* usually not there; else overwritten later */
    }
}

static void cursor_check(struct spool *s)
{
    bool sane = s->cursor.offset >= SEGMENT_HEAD_BYTES && s->cursor.offset % 8 == 0;
    if (!sane)
        s->cursor = (struct spool_pos){s->cursor.segment, SEGMENT_HEAD_BYTES};
}

int spool_recover(struct spool *s, struct spool_recovery *ret)
{
    AUTO_BUF struct buf names = {0};
    struct spool_recovery sum = {0};
    int r = segments_list(s, &names);
    const uint64_t *numbers = (const uint64_t *)names.p;
    size_t n = names.n / sizeof *numbers;
    if (r == 0)
        r = cursor_load(s, &sum.cursor_lost);
    if (r < 0)
        return r;
    cursor_check(s);
    r = versions_check(s, numbers, n);
    if (r == 0)
        r = node_find(s, numbers, n);
    if (r < 0)
        return r;
    s->last_number = s->cursor.segment;
    leftovers_remove(s);
    for (size_t i = 0; i < n && r == 0; i++) {
        if (numbers[i] < s->cursor.segment)
            passed_remove(s, numbers[i]);
        else
            r = segment_recover(s, numbers[i], &sum);
    }
    if (r < 0)
        return r;
    if (n > 0 && numbers[n - 1] > s->last_number)
        s->last_number = numbers[n - 1];
    s->claim_at = s->cursor;
    cursor_advance(s);
    *ret = sum;
    return 0;
}
