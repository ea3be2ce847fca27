/* tree.c: see tree.h. */
#include "tree.h"

#include <fcntl.h>
#include <fts.h>
#include <stdint.h>
#include <string.h>

#include "picket/base/str.h"

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static FTS *tree_open(const char *dir)
{
    char *paths[] = {(char *)(uintptr_t)dir, NULL}; /* not changed */
    FTS *t = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
    assert(t);
    return t;
}

void tree_clear(const char *dir)
{
    FTS *t = tree_open(dir);
    for (FTSENT *e; (e = fts_read(t)) != NULL;)
        if (e->fts_level > 0 && e->fts_info != FTS_D)
            (void)remove(e->fts_accpath); /* what stays makes the next life fail */
    (void)fts_close(t);
}

static bool file_equal(const FTSENT *a, const FTSENT *b, enum tree_look look)
{
    const struct timespec *x = &a->fts_statp->st_mtim, *y = &b->fts_statp->st_mtim;
    bool same =
        a->fts_statp->st_size == b->fts_statp->st_size && (look == TREE_BYTES || (x->tv_sec == y->tv_sec && x->tv_nsec == y->tv_nsec));
    AUTO_CLOSE int fd_a = open(a->fts_accpath, O_RDONLY | O_CLOEXEC);
    AUTO_CLOSE int fd_b = open(b->fts_accpath, O_RDONLY | O_CLOEXEC);
    while (same) {
        char part_a[4096], part_b[4096];
        ssize_t n = read(fd_a, part_a, sizeof part_a);
        same = n >= 0 && read(fd_b, part_b, sizeof part_b) == n && memcmp(part_a, part_b, (size_t)n) == 0;
        if (n == 0)
            break;
    }
    return same;
}

bool tree_equal(const char *a, const char *b, enum tree_look look)
{
    FTS *tree_a = tree_open(a), *tree_b = tree_open(b);
    bool same = true;
    for (bool more = true; same && more;) {
        const FTSENT *x = fts_read(tree_a), *y = fts_read(tree_b);
        more = x && y;
        same = !x == !y;
        if (same && more)
            same = x->fts_info == y->fts_info && x->fts_level == y->fts_level &&
                   (x->fts_level == 0 || strcmp(x->fts_name, y->fts_name) == 0) && (x->fts_info != FTS_F || file_equal(x, y, look));
    }
    (void)fts_close(tree_a);
    (void)fts_close(tree_b);
    return same;
}
