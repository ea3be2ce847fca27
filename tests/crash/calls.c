/* calls.c: see calls.h.
 *
 * The linker leads every call of open() and its kin in the program, not those inside of libc, to __wrap_open() here. Which descriptors lead
 * below the root is known from their opening; what happens to others is not recorded. Calls that failed change nothing. A call that is
 * not in the list would be missed: tests compare what was recorded with what lies in the directory (tree_equal). */
#include "calls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "picket/base/str.h"

enum { FDS_MAX = 1024 };

static struct {
    struct recording *rec; /* NULL: nothing is recorded */
    struct str root;
    bool ours[FDS_MAX];
    uint64_t at[FDS_MAX]; /* where the next write() goes */
} calls;

int __real_open(const char *path, int flags, ...);
int __real_open64(const char *path, int flags, ...);
int __real_openat(int dir_fd, const char *name, int flags, ...);
int __real_openat64(int dir_fd, const char *name, int flags, ...);
ssize_t __real_write(int fd, const void *p, size_t n);
int __real_fsync(int fd);
int __real_fdatasync(int fd);
int __real_mkdir(const char *path, mode_t mode);
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
int __wrap_mkdir(const char *path, mode_t mode);
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

static bool is_ours(int fd)
{
    assert(fd < FDS_MAX);
    return calls.rec && fd >= 0 && calls.ours[fd];
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
    assert(!strchr(*ret_name, '/')); /* the model has no paths: a level more has to come through a descriptor */
    return true;
}

/* A change of names; `r` is handed through, errno kept. */
static int named(int r, enum disk_effect effect, const char *point, int dir_fd, const char *name, int flags)
{
    struct disk_change c = {.effect = effect, .point = point, .flags = flags, .fd = r};
    int error = errno;
    bool found = r >= 0 && locate(dir_fd, name, &c.dir_fd, &c.name);
    if (found)
        recording_add(calls.rec, &c);
    if (calls.rec && r >= 0 && effect == DISK_OPENED) {
        assert(r < FDS_MAX);
        assert(!found || !(flags & O_APPEND));
        calls.ours[r] = found;
        calls.at[r] = 0;
    }
    errno = error;
    return r;
}

static int renamed(int r, int from_fd, const char *from, int to_fd, const char *to)
{
    struct disk_change c = {.effect = DISK_RENAMED, .point = "rename"};
    int other;
    if (r < 0 || !locate(from_fd, from, &c.dir_fd, &c.name))
        return r;
    bool same = locate(to_fd, to, &other, &c.to) && other == c.dir_fd;
    assert(same);
    recording_add(calls.rec, &c);
    return r;
}

static int synced(int r, int fd)
{
    if (r == 0 && is_ours(fd))
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
    return named(__real_open(path, flags, mode), DISK_OPENED, "open", AT_FDCWD, path, flags);
}

int __wrap_open64(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = mode_of(flags, args);
    va_end(args);
    return named(__real_open64(path, flags, mode), DISK_OPENED, "open", AT_FDCWD, path, flags);
}

int __wrap_openat(int dir_fd, const char *name, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = mode_of(flags, args);
    va_end(args);
    return named(__real_openat(dir_fd, name, flags, mode), DISK_OPENED, "openat", dir_fd, name, flags);
}

int __wrap_openat64(int dir_fd, const char *name, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = mode_of(flags, args);
    va_end(args);
    return named(__real_openat64(dir_fd, name, flags, mode), DISK_OPENED, "openat", dir_fd, name, flags);
}

ssize_t __wrap_write(int fd, const void *p, size_t n)
{
    ssize_t r = __real_write(fd, p, n);
    if (r <= 0 || !is_ours(fd))
        return r;
    struct iovec iov = {.iov_base = (void *)(uintptr_t)p, .iov_len = (size_t)r};
    recording_add(calls.rec, &(struct disk_change){
                                 .effect = DISK_WROTE, .point = "write", .fd = fd, .at = calls.at[fd], .iov = &iov, .bytes = (uint64_t)r});
    calls.at[fd] += (uint64_t)r;
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
