/* quarantine.c: damaged bytes are kept for people to look at, in <dir>/quarantine/<segment>-<offset>, at most QUARANTINE_MAX_BYTES of
 * them. Beyond that they are only counted. The same place is kept and counted once per file, so that reading again changes nothing.
 * Failures here are not reported: the bytes are lost already, and the records around them matter more.
 *
 * They are as old as their files' last change, which is when they were set aside. Who removes old ones (spool_quarantine_age) may be another process: when
 * there seems to be no room it is measured anew, at most once in MEASURE_EVERY_US, because a damaged disk brings many places at once.
 *
 * The torn tail of a segment is kept, too: mostly it is what a killed process was about to write, but damage to the last records that were
 * promised looks just the same. Kills are ordinary, so their tails leave half of the room to what is damaged for certain. */
#include "internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "disk.h"
#include "picket/base/clock.h"

static const char DIR_NAME[] = "quarantine";
#define MEASURE_EVERY_US CLOCK_US_PER_S

/* The next regular file of an open directory; false: there is none. */
static bool next_file(DIR *dir, const char **ret_name, struct stat *ret)
{
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        *ret_name = e->d_name;
        /* NOLINTNEXTLINE(clang-analyzer-unix.StdCLibraryFunctions): an open directory has a descriptor */
        if (fstatat(dirfd(dir), e->d_name, ret, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(ret->st_mode))
            return true;
    }
    return false;
}

/* Of what disk_open() gave: NULL when that is an error. */
static DIR *dir_of(int fd)
{
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir && fd >= 0)
        (void)close(fd); /* nothing was read */
    return dir;
}

void quarantine_measure(struct spool *s)
{
    DIR *dir = dir_of(disk_open(s->dir_fd, DIR_NAME, O_RDONLY | O_DIRECTORY, "spool.quarantine.open"));
    struct stat st;
    const char *name;
    uint64_t used = 0;
    while (dir && next_file(dir, &name, &st))
        used += (uint64_t)st.st_size;
    if (dir)
        (void)closedir(dir); /* only read */
    (void)pthread_mutex_lock(&s->lock);
    s->quarantine_used = used;
    s->quarantine_measured_us = clock_mono_us();
    (void)pthread_mutex_unlock(&s->lock);
}

static bool room_take(struct spool *s, size_t bytes, bool *ret_measure)
{
    (void)pthread_mutex_lock(&s->lock);
    bool room = s->quarantine_used + bytes <= QUARANTINE_MAX_BYTES;
    if (room)
        s->quarantine_used += bytes;
    *ret_measure = !room && clock_mono_us() - s->quarantine_measured_us > MEASURE_EVERY_US;
    (void)pthread_mutex_unlock(&s->lock);
    return room;
}

static bool room_for(struct spool *s, size_t bytes)
{
    bool measure;
    if (room_take(s, bytes, &measure))
        return true;
    if (!measure)
        return false;
    quarantine_measure(s);
    return room_take(s, bytes, &measure);
}

/* False: this place is kept already. */
static bool keep(struct spool *s, const char *name, struct str bytes)
{
    AUTO_CLOSE int dir = -1;
    if (disk_mkdir(s->dir_fd, DIR_NAME, "spool.quarantine.mkdir") < 0)
        return true;
    dir = disk_open(s->dir_fd, DIR_NAME, O_RDONLY | O_DIRECTORY, "spool.quarantine.open");
    if (dir < 0)
        return true;
    AUTO_CLOSE int fd = disk_open(dir, name, O_WRONLY | O_CREAT | O_EXCL, "spool.quarantine.open");
    if (fd == -EEXIST)
        return false;
    if (fd >= 0 && room_for(s, bytes.n) && disk_write(fd, bytes.p, bytes.n, 0, "spool.quarantine.write") < 0)
        return true; /* partly kept: better than nothing */
    return true;
}

void quarantine_tell(struct spool *s, uint64_t segment, uint64_t from, uint64_t to)
{
    (void)pthread_mutex_lock(&s->lock);
    s->quarantined++;
    (void)pthread_mutex_unlock(&s->lock);
    if (s->tell)
        s->tell(s->tell_arg, &(struct spool_range){.segment = segment, .from = from, .to = to});
}

enum { PLACE_NAME_MAX = 64 };

static void place_name(uint64_t segment, uint64_t offset, char dst[PLACE_NAME_MAX])
{
    (void)snprintf(dst, PLACE_NAME_MAX, "%016" PRIx64 "-%010" PRIx64, segment, offset); /* always fits */
}

void quarantine_bytes(struct spool *s, uint64_t segment, uint64_t offset, struct str bytes)
{
    char name[PLACE_NAME_MAX];
    place_name(segment, offset, name);
    if (keep(s, name, bytes))
        quarantine_tell(s, segment, offset, offset + bytes.n);
}

enum { PART_MAX = 1024 * 1024 };

/* What is read of [from, to) goes to sink(), in parts. */
static void file_parts(struct spool *s, uint64_t segment, int fd, uint64_t from, uint64_t to,
                       void (*sink)(struct spool *s, uint64_t segment, uint64_t offset, struct str bytes))
{
    AUTO_FREE char *p = malloc(PART_MAX);
    for (uint64_t at = from; p && at < to; at += PART_MAX) {
        size_t want = to - at < PART_MAX ? (size_t)(to - at) : PART_MAX;
        int n = disk_salvage(fd, p, want, at, "spool.quarantine.read", NULL);
        if (n > 0)
            sink(s, segment, at, str_of(p, (size_t)n));
    }
}

void quarantine_file_part(struct spool *s, const struct segment *seg, uint64_t from, uint64_t to)
{
    file_parts(s, seg->number, seg->fd, from, to, quarantine_bytes);
}

static void torn_keep(struct spool *s, uint64_t segment, uint64_t offset, struct str bytes)
{
    char name[PLACE_NAME_MAX];
    place_name(segment, offset, name);
    bool kept = keep(s, name, bytes);
    (void)kept; /* by a start that could not cut the tail */
}

void quarantine_torn(struct spool *s, const struct segment *seg, int fd, uint64_t from, uint64_t to)
{
    uint64_t room = s->quarantine_used < TORN_MAX_BYTES ? TORN_MAX_BYTES - s->quarantine_used : 0;
    struct spool_range where = {.segment = seg->number, .from = from, .to = to};
    file_parts(s, seg->number, fd, from, to - from < room ? to : from + room, torn_keep);
    buf_append(&s->torn, &where, sizeof where);
}

/* ---- age */

/* What place_name() gives, whatever the numbers. */
static bool is_place(const char *name)
{
    static const char digits[] = "0123456789abcdef";
    size_t segment = strspn(name, digits);
    return segment == 16 && name[segment] == '-' && strspn(name + segment + 1, digits) >= 10 &&
           name[segment + 1 + strspn(name + segment + 1, digits)] == '\0';
}

static int age_files(int fd, int64_t before_us, enum spool_aging how, struct spool_aged *total)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0), result = copy < 0 ? -errno : 0;
    DIR *dir = dir_of(copy);
    struct stat st;
    const char *name;
    while (dir && next_file(dir, &name, &st)) {
        int64_t changed_us = (int64_t)st.st_mtim.tv_sec * CLOCK_US_PER_S + st.st_mtim.tv_nsec / 1000;
        if (!is_place(name) || changed_us >= before_us)
            continue;
        int r = how == SPOOL_REMOVE_AGED ? disk_unlink(fd, name, "spool.quarantine.unlink") : 0;
        if (r < 0 && r != -ENOENT)
            result = r;
        total->files += r == 0;
        total->bytes += r == 0 ? (uint64_t)st.st_size : 0;
    }
    if (dir)
        (void)closedir(dir); /* only read */
    return result;
}

int spool_quarantine_age(const char *dir, int64_t before_us, enum spool_aging how, struct spool_aged *ret)
{
    *ret = (struct spool_aged){0};
    AUTO_CLOSE int spool_fd = disk_open(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, "spool.quarantine.open");
    AUTO_CLOSE int fd = spool_fd < 0 ? spool_fd : disk_open(spool_fd, DIR_NAME, O_RDONLY | O_DIRECTORY, "spool.quarantine.open");
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    int r = age_files(fd, before_us, how, ret);
    return r == 0 && how == SPOOL_REMOVE_AGED && ret->files ? disk_sync(fd, "spool.quarantine.sync") : r;
}
