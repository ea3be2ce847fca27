/* calls.c: see calls.h.
 *
 * The linker leads every call of open() and its kin in the program, not those inside of libc, to __wrap_open() here. Which descriptors lead
 * below the root is known from their opening; what happens to others is not recorded. Calls that failed change nothing. A call that is
 * not in the list would be missed: tests compare what was recorded with what lies in the directory (tree_equal).
 *
 * Who looks through a tree opens much and changes nothing: what was opened for reading is recorded when something is done with it, by its path, because
 * what led there may be closed by then. Nothing is renamed meanwhile. */
#include "calls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "picket/base/clock.h"
#include "picket/base/str.h"

enum { FDS_MAX = 1024, BEYOND_READING = O_CREAT | O_TRUNC | O_ACCMODE };

/* Of a descriptor that leads below the root. */
struct known {
    bool ours, is_told;            /* is_told: its opening is in the recording */
    char path[RECORDING_NAME_MAX]; /* from the root */
    uint64_t at;                   /* where the next write() goes */
};
static struct {
    struct recording *rec; /* NULL: nothing is recorded */
    struct str root;
    int64_t now_us; /* 0: times are real, and not recorded */
    struct known fds[FDS_MAX];
} calls;

int __real_open(const char *path, int flags, ...);
int __real_open64(const char *path, int flags, ...);
int __real_openat(int dir_fd, const char *name, int flags, ...);
int __real_openat64(int dir_fd, const char *name, int flags, ...);
ssize_t __real_write(int fd, const void *p, size_t n);
int __real_fsync(int fd);
int __real_fdatasync(int fd);
int __real_futimens(int fd, const struct timespec times[2]);
int __real_mkdir(const char *path, mode_t mode);
int __real_mkdirat(int dir_fd, const char *name, mode_t mode);
int __real_rename(const char *from, const char *to);
int __real_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __real_unlink(const char *path);
int __real_unlinkat(int dir_fd, const char *name, int flags);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_openat(int dir_fd, const char *name, int flags, ...);
int __wrap_openat64(int dir_fd, const char *name, int flags, ...);
ssize_t __wrap_write(int fd, const void *p, size_t n);
int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_futimens(int fd, const struct timespec times[2]);
int __wrap_mkdir(const char *path, mode_t mode);
int __wrap_mkdirat(int dir_fd, const char *name, mode_t mode);
int __wrap_rename(const char *from, const char *to);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_unlink(const char *path);
int __wrap_unlinkat(int dir_fd, const char *name, int flags);

void calls_record(struct recording *rec, const char *root)
{
    memset(&calls, 0, sizeof calls);
    calls.rec = rec;
    calls.root = str_from(root);
}

void calls_stop(void)
{
    calls.rec = NULL;
}

void calls_set_time(int64_t now_us)
{
    calls.now_us = now_us;
}

static bool is_ours(int fd)
{
    assert(fd < FDS_MAX);
    return calls.rec && fd >= 0 && calls.fds[fd].ours;
}

/* ---- descriptors */

/* What follows in the recording is about `fd`. */
static void tell_opened(int fd)
{
    if (fd < 0 || calls.fds[fd].is_told)
        return;
    calls.fds[fd].is_told = true;
    struct disk_change c = {.effect = DISK_OPENED, .point = "open", .dir_fd = AT_FDCWD, .name = calls.fds[fd].path, .fd = fd};
    recording_add(calls.rec, &c);
}

/* Remembers what `c` opened; what can only be read is told of later. */
static void note_opened(const struct disk_change *c)
{
    struct known *k = &calls.fds[c->fd];
    const char *above = c->dir_fd == AT_FDCWD ? "" : calls.fds[c->dir_fd].path;
    *k = (struct known){.ours = true, .is_told = c->flags & BEYOND_READING};
    int n = snprintf(k->path, sizeof k->path, "%s%s%s", above, above[0] ? "/" : "", c->name);
    assert(n < (int)sizeof k->path);
    if (k->is_told)
        recording_add(calls.rec, c);
}

/* Whether `path` lies below the root, or is it; then *ret_dir and *ret_name are what the recording calls it. */
static bool locate(int dir_fd, const char *path, int *ret_dir, const char **ret_name)
{
    struct str s = str_from(path);
    if (!calls.rec)
        return false;
    *ret_dir = dir_fd;
    *ret_name = path;
    if (path[0] != '/')
        return is_ours(dir_fd);
    if (!str_starts(s, calls.root) || (s.n > calls.root.n && path[calls.root.n] != '/'))
        return false;
    *ret_dir = AT_FDCWD;
    *ret_name = s.n > calls.root.n + 1 ? path + calls.root.n + 1 : ".";
    assert(!strchr(*ret_name, '/'));
    return true;
}

/* A change of names; `r` is handed through, errno kept. */
static int named(int r, enum disk_effect effect, const char *point, int dir_fd, const char *name, int flags)
{
    struct disk_change c = {.effect = effect, .point = point, .flags = flags, .fd = r, .time_us = calls.now_us};
    int error = errno;
    bool found = r >= 0 && locate(dir_fd, name, &c.dir_fd, &c.name);
    if (found && (effect != DISK_OPENED || flags & BEYOND_READING))
        tell_opened(c.dir_fd);
    if (calls.rec && r >= 0 && effect == DISK_OPENED) {
        assert(r < FDS_MAX);
        assert(!found || !(flags & O_APPEND));
        calls.fds[r].ours = false;
        if (found)
            note_opened(&c);
    } else if (found) {
        recording_add(calls.rec, &c);
    }
    errno = error;
    return r;
}

/* It is as late as the test says. */
static void set_time(int fd)
{
    struct timespec times[2];
    times[0] = times[1] = (struct timespec){.tv_sec = calls.now_us / CLOCK_US_PER_S, .tv_nsec = calls.now_us % CLOCK_US_PER_S * 1000};
    int r = calls.now_us ? __real_futimens(fd, times) : 0;
    assert(r == 0);
}

static int opened_at(int r, int dir_fd, const char *name, int flags, bool was_there)
{
    r = named(r, DISK_OPENED, "open", dir_fd, name, flags);
    if (!was_there && is_ours(r))
        set_time(r);
    return r;
}

/* Whether an opening with these flags makes no new file. */
static bool is_there(int dir_fd, const char *name, int flags)
{
    int error = errno;
    bool is = !calls.now_us || !(flags & O_CREAT) || faccessat(dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    errno = error;
    return is;
}

static int renamed(int r, int from_fd, const char *from, int to_fd, const char *to)
{
    struct disk_change c = {.effect = DISK_RENAMED, .point = "rename"};
    int other;
    if (r < 0 || !locate(from_fd, from, &c.dir_fd, &c.name))
        return r;
    tell_opened(c.dir_fd);
    bool same = locate(to_fd, to, &other, &c.to) && other == c.dir_fd;
    assert(same);
    recording_add(calls.rec, &c);
    return r;
}

static int synced(int r, int fd)
{
    if (r < 0 || !is_ours(fd))
        return r;
    tell_opened(fd);
    recording_add(calls.rec, &(struct disk_change){.effect = DISK_SYNCED, .point = "sync", .fd = fd});
    return r;
}

/* ---- in the place of libc's */

static mode_t mode_of(int flags, va_list args)
{
    return flags & O_CREAT ? va_arg(args, mode_t) : 0;
}

int __wrap_open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = mode_of(flags, args);
    va_end(args);
    bool was_there = is_there(AT_FDCWD, path, flags);
    return opened_at(__real_open(path, flags, mode), AT_FDCWD, path, flags, was_there);
}

int __wrap_open64(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = mode_of(flags, args);
    va_end(args);
    bool was_there = is_there(AT_FDCWD, path, flags);
    return opened_at(__real_open64(path, flags, mode), AT_FDCWD, path, flags, was_there);
}

int __wrap_openat(int dir_fd, const char *name, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = mode_of(flags, args);
    va_end(args);
    bool was_there = is_there(dir_fd, name, flags);
    return opened_at(__real_openat(dir_fd, name, flags, mode), dir_fd, name, flags, was_there);
}

int __wrap_openat64(int dir_fd, const char *name, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = mode_of(flags, args);
    va_end(args);
    bool was_there = is_there(dir_fd, name, flags);
    return opened_at(__real_openat64(dir_fd, name, flags, mode), dir_fd, name, flags, was_there);
}

ssize_t __wrap_write(int fd, const void *p, size_t n)
{
    ssize_t r = __real_write(fd, p, n);
    if (r <= 0 || !is_ours(fd))
        return r;
    struct iovec iov = {.iov_base = (void *)(uintptr_t)p, .iov_len = (size_t)r};
    set_time(fd);
    recording_add(calls.rec, &(struct disk_change){.effect = DISK_WROTE,
                                                   .point = "write",
                                                   .fd = fd,
                                                   .at = calls.fds[fd].at,
                                                   .iov = &iov,
                                                   .bytes = (uint64_t)r,
                                                   .time_us = calls.now_us});
    calls.fds[fd].at += (uint64_t)r;
    return r;
}

int __wrap_fsync(int fd)
{
    return synced(__real_fsync(fd), fd);
}

int __wrap_fdatasync(int fd)
{
    return synced(__real_fdatasync(fd), fd);
}

int __wrap_futimens(int fd, const struct timespec times[2])
{
    bool ours = is_ours(fd);
    int64_t time_us = times ? (int64_t)times[1].tv_sec * CLOCK_US_PER_S + times[1].tv_nsec / 1000 : calls.now_us;
    int r = __real_futimens(fd, times);
    if (r < 0 || !ours)
        return r;
    if (!times)
        set_time(fd);
    tell_opened(fd);
    recording_add(calls.rec, &(struct disk_change){.effect = DISK_TOUCHED, .point = "touch", .fd = fd, .time_us = time_us});
    return r;
}

int __wrap_mkdirat(int dir_fd, const char *name, mode_t mode)
{
    return named(__real_mkdirat(dir_fd, name, mode), DISK_MADE_DIR, "mkdir", dir_fd, name, 0);
}

int __wrap_mkdir(const char *path, mode_t mode)
{
    return named(__real_mkdir(path, mode), DISK_MADE_DIR, "mkdir", AT_FDCWD, path, 0);
}

int __wrap_rename(const char *from, const char *to)
{
    return renamed(__real_rename(from, to), AT_FDCWD, from, AT_FDCWD, to);
}

int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    return renamed(__real_renameat(from_fd, from, to_fd, to), from_fd, from, to_fd, to);
}

int __wrap_unlink(const char *path)
{
    return named(__real_unlink(path), DISK_UNLINKED, "unlink", AT_FDCWD, path, 0);
}

int __wrap_unlinkat(int dir_fd, const char *name, int flags)
{
    return named(__real_unlinkat(dir_fd, name, flags), DISK_UNLINKED, "unlink", dir_fd, name, 0);
}
