/* disk.c: thin calls that add three things to the system's: a fault point, -errno as the result, and whole reads and writes (interrupted
 * or short ones go on where they stopped). */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "picket/base/fault.h"

int disk_open(int dir_fd, const char *name, int flags, const char *point)
{
    int r = fault(point);
    if (r < 0)
        return r;
    int fd = openat(dir_fd, name, flags | O_CLOEXEC, 0600);
    return fd < 0 ? -errno : fd;
}

int disk_mkdir(int dir_fd, const char *name, const char *point)
{
    int r = fault(point);
    if (r < 0)
        return r;
    if (mkdirat(dir_fd, name, 0700) == 0)
        return 1;
    return errno == EEXIST ? 0 : -errno;
}

int disk_write(int fd, const void *p, size_t n, uint64_t at, const char *point)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)p, .iov_len = n};
    return disk_writev(fd, &iov, 1, at, point);
}

/* A disk that took only a part: half of the first piece goes out, then the error. */
static int write_part(int fd, const struct iovec *iov, uint64_t at)
{
    ssize_t n = pwrite(fd, iov->iov_base, iov->iov_len / 2, (off_t)at);
    return n < 0 ? -errno : -EIO;
}

int disk_writev(int fd, struct iovec *iov, unsigned n, uint64_t at, const char *point)
{
    int r = fault(point);
    if (r != 0)
        return r < 0 ? r : write_part(fd, iov, at);
    while (n > 0) {
        ssize_t done = pwritev(fd, iov, n < IOV_MAX ? (int)n : IOV_MAX, (off_t)at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return done < 0 ? -errno : -EIO;
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

int disk_sync(int fd, const char *point)
{
    int r = fault(point);
    if (r < 0)
        return r;
    return fdatasync(fd) < 0 ? -errno : 0;
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
    return renameat(dir_fd, from, dir_fd, to) < 0 ? -errno : 0;
}

int disk_unlink(int dir_fd, const char *name, const char *point)
{
    int r = fault(point);
    if (r < 0)
        return r;
    return unlinkat(dir_fd, name, 0) < 0 ? -errno : 0;
}

int disk_truncate(int fd, uint64_t size, const char *point)
{
    int r = fault(point);
    if (r < 0)
        return r;
    return ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
}
