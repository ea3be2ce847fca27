/* disk.c: thin calls that add three things to the system's: a fault point, -errno as the result, and whole reads and writes (interrupted
 * or short ones go on where they stopped). In test builds each change is also told to an observer. */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>

#include "picket/base/fault.h"

#ifdef PICKET_FAULT_POINTS
static pthread_mutex_t observer_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    void (*seen)(void *arg, const struct disk_change *change);
    void *arg;
} observer;

void disk_observe(void (*seen)(void *arg, const struct disk_change *change), void *arg)
{
    observer.seen = seen;
    observer.arg = arg;
}

static void change_begin(void)
{
    if (observer.seen)
        (void)pthread_mutex_lock(&observer_lock);
}

/* Hands the result through. */
static int change_end(int r, const struct disk_change *change)
{
    if (!observer.seen)
        return r;
    if (r >= 0)
        observer.seen(observer.arg, change);
    (void)pthread_mutex_unlock(&observer_lock);
    return r;
}
#define CHANGED(r, ...) change_end(r, &(struct disk_change){__VA_ARGS__})

static uint64_t broken_from, broken_to;

void disk_break(uint64_t from, uint64_t to)
{
    broken_from = from;
    broken_to = to;
}

static bool is_broken(uint64_t at, size_t n)
{
    return at < broken_to && at + n > broken_from;
}
#else
static inline bool is_broken(UNUSED uint64_t at, UNUSED size_t n)
{
    return false;
}
static inline void change_begin(void)
{
}
#define CHANGED(r, ...) (r)
#endif

int disk_open(int dir_fd, const char *name, int flags, const char *point)
{
    int r = fault(point);
    if (r < 0)
        return r;
    change_begin();
    int fd = openat(dir_fd, name, flags | O_CLOEXEC, 0600);
    return CHANGED(fd < 0 ? -errno : fd, .effect = DISK_OPENED, .point = point, .dir_fd = dir_fd, .name = name, .flags = flags, .fd = fd);
}

int disk_mkdir(int dir_fd, const char *name, const char *point)
{
    int r = fault(point);
    if (r < 0)
        return r;
    change_begin();
    int made = mkdirat(dir_fd, name, 0700) < 0 ? -errno : 1;
    r = CHANGED(made, .effect = DISK_MADE_DIR, .point = point, .dir_fd = dir_fd, .name = name);
    return r == -EEXIST ? 0 : r;
}

int disk_write(int fd, const void *p, size_t n, uint64_t at, const char *point)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)p, .iov_len = n};
    return disk_writev(fd, &iov, 1, at, point);
}

/* One call: bytes written, or -errno. */
static int write_some(int fd, const struct iovec *iov, unsigned n, uint64_t at, UNUSED const char *point)
{
    change_begin();
    ssize_t done = pwritev(fd, iov, n < IOV_MAX ? (int)n : IOV_MAX, (off_t)at);
    int r = done < 0 ? -errno : (int)done; /* the kernel takes less than 2 GiB at once */
    return CHANGED(r, .effect = DISK_WROTE, .point = point, .fd = fd, .at = at, .iov = iov, .bytes = (uint64_t)done);
}

/* A disk that took only a part: half of the first piece goes out, then the error. */
static int write_part(int fd, const struct iovec *iov, uint64_t at, const char *point)
{
    struct iovec half = {.iov_base = iov->iov_base, .iov_len = iov->iov_len / 2};
    int n = write_some(fd, &half, 1, at, point);
    return n < 0 ? n : -EIO;
}

int disk_writev(int fd, struct iovec *iov, unsigned n, uint64_t at, const char *point)
{
    int r = fault(point);
    if (r != 0)
        return r < 0 ? r : write_part(fd, iov, at, point);
    while (n > 0) {
        int done = write_some(fd, iov, n, at, point);
        if (done == -EINTR)
            continue;
        if (done <= 0)
            return done < 0 ? done : -EIO;
        size_t left = (size_t)done;
        at += left;
        for (; n > 0 && left >= iov->iov_len; iov++, n--)
            left -= iov->iov_len;
        if (n > 0) {
            iov->iov_base = (char *)iov->iov_base + left;
            iov->iov_len -= left;
        }
    }
    return 0;
}

int disk_read(int fd, void *p, size_t n, uint64_t at, const char *point)
{
    int r = fault(point);
    if (r < 0)
        return r;
    size_t got = 0;
    assert(n <= INT_MAX);
    if (is_broken(at, n))
        return -EIO;
    while (got < n) {
        ssize_t k = pread(fd, (char *)p + got, n - got, (off_t)(at + got));
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return -errno;
        if (k == 0)
            break;
        got += (size_t)k;
    }
    return (int)got;
}

/* ---- bad sectors */

enum { BLOCK = 4096, PROBES = 8 };

/* A disk that is away gives -EIO as well, and must not pass for one that lost everything. Blocks all over the file are asked for, past the cache where
 * the file system lets us. A file of which no block can be read looks like a disk that is away. */
static bool disk_answers(int fd, const char *point)
{
    char path[64];
    struct stat st;
    AUTO_FREE char *block = aligned_alloc(BLOCK, BLOCK);
    if (!block || fstat(fd, &st) < 0)
        return false;
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd); /* always fits */
    AUTO_CLOSE int direct = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    for (uint64_t i = 0; i < PROBES; i++) {
        uint64_t at = (uint64_t)st.st_size * i / PROBES / BLOCK * BLOCK;
        if (disk_read(direct >= 0 ? direct : fd, block, BLOCK, at, point) > 0)
            return true;
    }
    return false;
}

/* Block by block; what cannot be read is zeros. */
static int read_blocks(int fd, char *p, size_t n, uint64_t at, const char *point, uint64_t *lost_to)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    uint64_t size = (uint64_t)st.st_size, end = at + n < size ? at + n : size;
    for (uint64_t from = at, to; from < end; from = to) {
        to = (from / BLOCK + 1) * BLOCK < end ? (from / BLOCK + 1) * BLOCK : end;
        int r = disk_read(fd, p + (from - at), (size_t)(to - from), from, point);
        if (r < 0 && r != -EIO)
            return r;
        size_t got = r < 0 ? 0 : (size_t)r;
        memset(p + (from - at) + got, 0, (size_t)(to - from) - got);
        if (r < 0 && lost_to && *lost_to < to)
            *lost_to = to;
    }
    return end > at ? (int)(end - at) : 0;
}

int disk_salvage(int fd, void *p, size_t n, uint64_t at, const char *point, uint64_t *lost_to)
{
    int r = disk_read(fd, p, n, at, point);
    if (r == -EIO)
        r = disk_read(fd, p, n, at, point);
    if (r != -EIO || !disk_answers(fd, point))
        return r;
    return read_blocks(fd, p, n, at, point, lost_to);
}

int disk_sync(int fd, const char *point)
{
    int r = fault(point);
    if (r < 0)
        return r;
    change_begin();
    return CHANGED(fdatasync(fd) < 0 ? -errno : 0, .effect = DISK_SYNCED, .point = point, .fd = fd);
}

int disk_named(int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    return st.st_nlink > 0 ? 0 : -ENOENT;
}

int disk_rename(int dir_fd, const char *from, const char *to, const char *point)
{
    int r = fault(point);
    if (r < 0)
        return r;
    change_begin();
    r = renameat(dir_fd, from, dir_fd, to) < 0 ? -errno : 0;
    return CHANGED(r, .effect = DISK_RENAMED, .point = point, .dir_fd = dir_fd, .name = from, .to = to);
}

int disk_unlink(int dir_fd, const char *name, const char *point)
{
    int r = fault(point);
    if (r < 0)
        return r;
    change_begin();
    r = unlinkat(dir_fd, name, 0) < 0 ? -errno : 0;
    return CHANGED(r, .effect = DISK_UNLINKED, .point = point, .dir_fd = dir_fd, .name = name);
}

int disk_truncate(int fd, uint64_t size, const char *point)
{
    int r = fault(point);
    if (r < 0)
        return r;
    change_begin();
    r = ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
    return CHANGED(r, .effect = DISK_TRUNCATED, .point = point, .fd = fd, .at = size);
}
