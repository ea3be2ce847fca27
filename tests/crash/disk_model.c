/* disk_model.c: a disk in memory, for cuts of power.
 *
 * Files and directories are nodes. A node knows what of it is durable and, in order, what was changed since it was last synced.
 *
 * What a cut of power may leave
 *   A file that was synced and not changed since is there as it was synced, if a name leads to it.
 *   Each block of 4 KiB that was written since has any one of the contents that it had since the last sync, independently of the others;
 *   where the file had no bytes before, that is zeros. The last block written may also be torn between its sectors.
 *   The size of the file is any that it had since then, or lies between two of them, independently of the blocks. Its time of change, too, is
 *   any that it had since then, independently of both.
 *   A directory's changes since it was last synced took place or not: the first so-and-so many of them (ordered), or any of them, provided
 *   that with each also those before it took place that have to do with the same name or the same node (unordered).
 *   A rename takes place as a whole. A file's sync says nothing about its name, a directory's nothing about the contents of its files, and
 *   neither anything about the parent.
 * ext4 promises more (a journal for all directories together, the name of a new file with its fsync): what holds here holds there. */
#include "disk_model.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "picket/base/clock.h"
#include "picket/base/str.h"

enum { BLOCK_BYTES = 4096, SECTOR_BYTES = 512, FDS_MAX = 4096, PATH_BYTES = 512, ROOT = 0 };

struct entry {
    char name[RECORDING_NAME_MAX];
    unsigned node;
};
/* Takes `node` from one name (empty: it is new) and gives it another (empty: it goes). */
struct move {
    char from[RECORDING_NAME_MAX], to[RECORDING_NAME_MAX];
    unsigned node;
};

struct node {
    bool is_dir;
    unsigned parent;         /* of a directory; the root's is itself */
    int64_t time_us;         /* a file's time of change, as far as it is durable; 0: nobody asks */
    struct buf durable;      /* a file's bytes */
    struct buf pending;      /* const struct change *: writes, truncations and new times since the last sync */
    struct buf now, on_disk; /* a directory's struct entry */
    struct buf moves;        /* struct move: since the last sync */
};

struct model {
    struct node *nodes; /* heap */
    unsigned n_nodes, max_nodes;
    unsigned fds[FDS_MAX]; /* descriptor → node */
};

/* ---- nodes */

static unsigned node_new(struct model *m, bool is_dir)
{
    if (m->n_nodes == m->max_nodes) {
        m->max_nodes = m->max_nodes ? 2 * m->max_nodes : 64;
        m->nodes = realloc(m->nodes, m->max_nodes * sizeof *m->nodes);
        if (!m->nodes)
            abort();
    }
    m->nodes[m->n_nodes] = (struct node){.is_dir = is_dir};
    return m->n_nodes++;
}

struct model *model_new(void)
{
    struct model *m = calloc(1, sizeof *m);
    if (!m)
        abort();
    (void)node_new(m, true);
    return m;
}

void model_free(struct model *m)
{
    if (!m)
        return;
    for (unsigned i = 0; i < m->n_nodes; i++) {
        struct node *n = &m->nodes[i];
        buf_done(&n->durable);
        buf_done(&n->pending);
        buf_done(&n->now);
        buf_done(&n->on_disk);
        buf_done(&n->moves);
    }
    free(m->nodes);
    free(m);
}

static unsigned *fd_node(struct model *m, int fd)
{
    static unsigned root = ROOT;
    assert(fd == AT_FDCWD || (fd >= 0 && fd < FDS_MAX));
    return fd == AT_FDCWD ? &root : &m->fds[fd];
}

/* ---- directories */

static size_t n_entries(const struct buf *entries)
{
    return entries->n / sizeof(struct entry);
}

static struct entry *entry_at(const struct buf *entries, size_t i)
{
    return (struct entry *)entries->p + i;
}

static struct entry *entry_find(const struct buf *entries, const char *name)
{
    for (size_t i = 0; i < n_entries(entries); i++)
        if (strcmp(entry_at(entries, i)->name, name) == 0)
            return entry_at(entries, i);
    return NULL;
}

static void entry_remove(struct buf *entries, const char *name)
{
    struct entry *e = entry_find(entries, name);
    if (!e)
        return;
    *e = *entry_at(entries, n_entries(entries) - 1);
    entries->n -= sizeof *e;
}

static void name_copy(char dst[RECORDING_NAME_MAX], const char *name)
{
    size_t n = str_from(name).n;
    assert(n < RECORDING_NAME_MAX);
    memcpy(dst, name, n + 1);
}

static void entries_move(struct buf *entries, const struct move *mv)
{
    struct entry e = {.node = mv->node};
    if (mv->from[0])
        entry_remove(entries, mv->from);
    if (!mv->to[0])
        return;
    entry_remove(entries, mv->to);
    name_copy(e.name, mv->to);
    buf_append(entries, &e, sizeof e);
}

static void dir_change(struct model *m, unsigned dir, const char *from, const char *to, unsigned node)
{
    struct move mv = {.node = node};
    name_copy(mv.from, from);
    name_copy(mv.to, to);
    entries_move(&m->nodes[dir].now, &mv);
    buf_append(&m->nodes[dir].moves, &mv, sizeof mv);
}

static unsigned dir_create(struct model *m, unsigned dir, const char *name, bool is_dir)
{
    unsigned node = node_new(m, is_dir);
    m->nodes[node].parent = dir;
    dir_change(m, dir, "", name, node);
    return node;
}

static unsigned dir_lookup(const struct model *m, unsigned dir, const char *name)
{
    if (strcmp(name, ".") == 0)
        return dir;
    if (strcmp(name, "..") == 0)
        return m->nodes[dir].parent;
    const struct entry *e = entry_find(&m->nodes[dir].now, name);
    assert(e);
    return e->node;
}

/* The directory that the last part of `path` is looked up in; *ret_last: that part. */
static unsigned dir_walk(const struct model *m, unsigned dir, const char *path, const char **ret_last)
{
    char part[RECORDING_NAME_MAX];
    for (const char *slash; (slash = strchr(path, '/')) != NULL; path = slash + 1) {
        (void)snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
        dir = dir_lookup(m, dir, part);
    }
    *ret_last = path;
    return dir;
}

/* ---- a file's bytes */

static size_t n_pending(const struct node *n)
{
    return n->pending.n / sizeof(struct change *);
}

static const struct change *pending_at(const struct node *n, size_t i)
{
    const struct change *c;
    memcpy(&c, n->pending.p + i * sizeof c, sizeof c);
    return c;
}

static uint64_t size_after(uint64_t size, const struct change *c)
{
    if (c->effect == DISK_TOUCHED)
        return size;
    if (c->effect != DISK_WROTE)
        return c->at; /* a truncation, or an opening with O_TRUNC, whose `at` is 0 */
    return c->at + c->bytes > size ? c->at + c->bytes : size;
}

/* `c` as far as it concerns the `n` bytes from `from` on. */
static void part_apply(char *part, uint64_t from, size_t n, const struct change *c)
{
    uint64_t to = from + n, start = c->at > from ? c->at : from, end = c->effect == DISK_WROTE ? c->at + c->bytes : to;
    end = end < to ? end : to;
    if (start >= end || c->effect == DISK_TOUCHED)
        return;
    if (c->effect == DISK_WROTE)
        memcpy(part + (start - from), c->data + (start - c->at), (size_t)(end - start));
    else
        memset(part + (start - from), 0, (size_t)(end - start));
}

static void size_set(struct buf *bytes, uint64_t size)
{
    if (size > bytes->n) {
        buf_reserve(bytes, (size_t)size - bytes->n);
        memset(bytes->p + bytes->n, 0, (size_t)size - bytes->n);
    }
    bytes->n = (size_t)size;
}

static void content_now(const struct node *n, struct buf *ret)
{
    buf_append_str(ret, buf_str(&n->durable));
    for (size_t i = 0; i < n_pending(n); i++) {
        const struct change *c = pending_at(n, i);
        size_set(ret, size_after(ret->n, c));
        if (c->effect == DISK_WROTE)
            memcpy(ret->p + c->at, c->data, c->bytes);
    }
}

/* After so many of what is not durable yet. */
static int64_t time_after(const struct node *n, size_t steps)
{
    return steps ? pending_at(n, steps - 1)->time_us : n->time_us;
}

/* ---- changes */

static void file_sync(struct node *n)
{
    struct buf bytes = {0};
    if (n->pending.n == 0)
        return;
    content_now(n, &bytes);
    n->time_us = time_after(n, n_pending(n));
    buf_done(&n->durable);
    n->durable = bytes;
    buf_clear(&n->pending);
}

static void dir_sync(struct node *n)
{
    buf_clear(&n->on_disk);
    buf_append_str(&n->on_disk, buf_str(&n->now));
    buf_clear(&n->moves);
}

static void apply_open(struct model *m, const struct change *c)
{
    const char *name;
    unsigned dir = dir_walk(m, *fd_node(m, c->dir_fd), c->name, &name), node;
    bool is_new = c->flags & O_CREAT && !entry_find(&m->nodes[dir].now, name);
    if (is_new) {
        node = dir_create(m, dir, name, false);
        m->nodes[node].time_us = c->time_us;
    } else {
        node = dir_lookup(m, dir, name);
    }
    if (!is_new && c->flags & O_TRUNC)
        buf_append(&m->nodes[node].pending, &c, sizeof c);
    *fd_node(m, c->fd) = node;
}

void model_apply(struct model *m, const struct change *c)
{
    unsigned dir, node;
    switch (c->effect) {
    case DISK_OPENED:
        apply_open(m, c);
        break;
    case DISK_MADE_DIR:
        (void)dir_create(m, *fd_node(m, c->dir_fd), c->name, true);
        break;
    case DISK_WROTE:
    case DISK_TRUNCATED:
    case DISK_TOUCHED:
        buf_append(&m->nodes[*fd_node(m, c->fd)].pending, &c, sizeof c);
        break;
    case DISK_SYNCED:
        node = *fd_node(m, c->fd);
        if (m->nodes[node].is_dir)
            dir_sync(&m->nodes[node]);
        else
            file_sync(&m->nodes[node]);
        break;
    case DISK_RENAMED:
    case DISK_UNLINKED:
        dir = *fd_node(m, c->dir_fd);
        dir_change(m, dir, c->name, c->to, dir_lookup(m, dir, c->name));
        break;
    }
}

/* ---- the cut */

static bool is_chosen(const struct cut *cut, uint64_t *rng)
{
    return cut->extent == CUT_EVERYTHING || (cut->extent == CUT_SOME && rng_next(rng) & 1);
}

/* How many of `n` steps were reached: rather none or all of them than any number. */
static size_t steps_chosen(size_t n, const struct cut *cut, uint64_t *rng)
{
    if (cut->extent != CUT_SOME)
        return cut->extent == CUT_NOTHING ? 0 : n;
    switch (rng_below(rng, 3)) {
    case 0:
        return 0;
    case 1:
        return n;
    default:
        return (size_t)rng_below(rng, n + 1);
    }
}

static bool same_name(const char *a, const char *b)
{
    return a[0] && strcmp(a, b) == 0;
}

static bool depends(const struct move *later, const struct move *earlier)
{
    return later->node == earlier->node || same_name(later->from, earlier->from) || same_name(later->from, earlier->to) ||
           same_name(later->to, earlier->from) || same_name(later->to, earlier->to);
}

/* Both: whether anything that was seen through the cache is not there any more, or other than it was. */
static bool dir_cut(struct node *n, const struct cut *cut, uint64_t *rng)
{
    size_t n_moves = n->moves.n / sizeof(struct move), first = steps_chosen(n_moves, cut, rng);
    const struct move *moves = (const struct move *)n->moves.p;
    AUTO_BUF struct buf lost = {0};
    for (size_t i = 0; i < n_moves; i++) {
        bool takes_place = cut->order == CUT_ORDERED ? i < first : is_chosen(cut, rng);
        for (size_t j = 0; takes_place && cut->order == CUT_UNORDERED && j < lost.n / sizeof *moves; j++)
            takes_place = !depends(&moves[i], (const struct move *)lost.p + j);
        if (takes_place)
            entries_move(&n->on_disk, &moves[i]);
        else
            buf_append(&lost, &moves[i], sizeof *moves);
    }
    buf_clear(&n->now);
    buf_append_str(&n->now, buf_str(&n->on_disk));
    buf_clear(&n->moves);
    return lost.n > 0;
}

/* Any size that the file had since it was synced, or one between two of them. */
static uint64_t size_cut(const struct node *n, const struct cut *cut, uint64_t *rng)
{
    uint64_t size = n->durable.n;
    size_t steps = steps_chosen(n_pending(n), cut, rng);
    for (size_t i = 0; i < steps; i++)
        size = size_after(size, pending_at(n, i));
    if (cut->extent == CUT_SOME && steps < n_pending(n) && rng_next(rng) & 1) {
        uint64_t next = size_after(size, pending_at(n, steps));
        size = next > size ? size + rng_below(rng, next - size + 1) : next + rng_below(rng, size - next + 1);
    }
    return size;
}

/* The block that the last write ended in; UINT64_MAX: none. */
static uint64_t last_block(const struct node *n)
{
    for (size_t i = n_pending(n); i > 0; i--) {
        const struct change *c = pending_at(n, i - 1);
        if (c->effect == DISK_WROTE && c->bytes > 0)
            return (c->at + c->bytes - 1) / BLOCK_BYTES;
    }
    return UINT64_MAX;
}

static bool file_cut(struct node *n, const struct cut *cut, uint64_t *rng)
{
    AUTO_BUF struct buf before = {0};
    if (n->pending.n == 0)
        return false;
    content_now(n, &before);
    int64_t time_before = time_after(n, n_pending(n));
    if (time_before)
        n->time_us = time_after(n, steps_chosen(n_pending(n), cut, rng));
    uint64_t size = size_cut(n, cut, rng), torn = cut->grain == CUT_SECTORS ? last_block(n) : UINT64_MAX;
    size_set(&n->durable, size);
    for (uint64_t at = 0; at < size;) {
        size_t part = at / BLOCK_BYTES == torn ? SECTOR_BYTES : BLOCK_BYTES;
        size_t steps = steps_chosen(n_pending(n), cut, rng);
        part = size - at < part ? (size_t)(size - at) : part;
        for (size_t i = 0; i < steps; i++)
            part_apply(n->durable.p + at, at, part, pending_at(n, i));
        at += part;
    }
    buf_clear(&n->pending);
    return n->time_us != time_before || !str_eq(buf_str(&before), buf_str(&n->durable));
}

bool model_cut(struct model *m, const struct cut *cut, uint64_t *rng)
{
    bool lost = false;
    for (unsigned i = 0; i < m->n_nodes; i++) {
        if (m->nodes[i].is_dir)
            lost |= dir_cut(&m->nodes[i], cut, rng);
        else
            lost |= file_cut(&m->nodes[i], cut, rng);
    }
    return lost;
}

/* ---- making it real */

static bool file_write(const struct node *n, int dir_fd, const char *name)
{
    AUTO_BUF struct buf bytes = {0};
    AUTO_CLOSE int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int64_t time_us = time_after(n, n_pending(n));
    struct timespec times[2];
    times[0] = times[1] = (struct timespec){.tv_sec = time_us / CLOCK_US_PER_S, .tv_nsec = time_us % CLOCK_US_PER_S * 1000};
    content_now(n, &bytes);
    return fd >= 0 && pwrite(fd, bytes.p, bytes.n, 0) == (ssize_t)bytes.n && (time_us == 0 || futimens(fd, times) == 0);
}

static bool dir_write(const struct model *m, const struct node *dir, const char *path)
{
    char below[PATH_BYTES];
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0;
    for (size_t i = 0; ok && i < n_entries(&dir->now); i++) {
        const struct entry *e = entry_at(&dir->now, i);
        const struct node *n = &m->nodes[e->node];
        if (!n->is_dir)
            ok = file_write(n, fd, e->name);
        else /* a few levels: the root, the spool, its quarantine; the store, a project, its shards */
            ok = mkdirat(fd, e->name, 0700) == 0 && snprintf(below, sizeof below, "%s/%s", path, e->name) < (int)sizeof below &&
                 dir_write(m, n, below);
    }
    return ok;
}

bool model_write(const struct model *m, const char *path)
{
    return dir_write(m, &m->nodes[ROOT], path);
}
