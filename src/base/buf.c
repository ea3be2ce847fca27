/* buf.c: growable bytes. The file of a large one has its blocks before it is written to: a disk that is full is then noticed here, and not by the
 * signal that a mapping would end in. */
#include "picket/base/buf.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>

void buf_done(struct buf *b)
{
    if (b->in_file) {
        (void)munmap(b->p, b->cap); /* ours, whole */
        (void)close(b->fd);         /* nobody else knows the file */
    } else {
        free(b->p);
    }
    *b = (struct buf){0};
}

/* Moves the bytes to a file of `cap` bytes. False: there is none to be had. */
static bool file_begin(struct buf *b, size_t cap)
{
    AUTO_CLOSE int fd = open(b->file_dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 || posix_fallocate(fd, 0, (off_t)cap) != 0)
        return false;
    char *p = mmap(NULL, cap, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return false;
    if (b->n)
        memcpy(p, b->p, b->n);
    free(b->p);
    b->p = p;
    b->cap = cap;
    b->fd = TAKE_FD(fd);
    b->in_file = true;
    return true;
}

static bool file_grow(struct buf *b, size_t cap)
{
    if (posix_fallocate(b->fd, 0, (off_t)cap) != 0)
        return false;
    char *p = mremap(b->p, b->cap, cap, MREMAP_MAYMOVE);
    if (p == MAP_FAILED)
        return false;
    b->p = p;
    b->cap = cap;
    return true;
}

/* Back to the heap. */
static void file_end(struct buf *b, size_t cap)
{
    struct buf heap = {.p = malloc(cap), .n = b->n, .cap = cap};
    if (!heap.p)
        abort();
    memcpy(heap.p, b->p, b->n);
    buf_done(b);
    *b = heap;
}

void buf_reserve(struct buf *b, size_t extra)
{
    if (b->cap - b->n >= extra)
        return;
    size_t want;
    if (__builtin_add_overflow(b->n, extra, &want))
        abort();
    size_t cap = b->cap ? b->cap : 256;
    while (cap < want)
        if (__builtin_mul_overflow(cap, (size_t)2, &cap))
            abort();
    if (b->in_file) {
        if (!file_grow(b, cap))
            file_end(b, cap);
        return;
    }
    if (b->file_dir && cap >= BUF_FILE_FROM && file_begin(b, cap))
        return;
    b->p = realloc(b->p, cap);
    if (!b->p)
        abort();
    b->cap = cap;
}

void buf_append(struct buf *b, const void *p, size_t n)
{
    if (n == 0)
        return;
    buf_reserve(b, n);
    memcpy(b->p + b->n, p, n);
    b->n += n;
}

void buf_append_str(struct buf *b, struct str s)
{
    buf_append(b, s.p, s.n);
}

void buf_append_char(struct buf *b, char c)
{
    buf_reserve(b, 1);
    b->p[b->n++] = c;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    assert(n >= 0);
    buf_reserve(b, (size_t)n + 1);
    va_start(args, fmt);
    (void)vsnprintf(b->p + b->n, (size_t)n + 1, fmt, args); /* measured above */
    va_end(args);
    b->n += (size_t)n;
}

const char *buf_cstr(struct buf *b)
{
    buf_reserve(b, 1);
    b->p[b->n] = '\0';
    return b->p;
}
