/* quarantine.c: damaged bytes are kept for people to look at, in <dir>/quarantine/<segment>-<offset>, at most QUARANTINE_MAX_BYTES of
 * them. Beyond that they are only counted. The same place is kept and counted once per file, so that reading again changes nothing.
 * Failures here are not reported: the bytes are lost already, and the records around them matter more.
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

static const char DIR_NAME[] = "quarantine";

void quarantine_measure(struct spool *s)
{
    int fd = disk_open(s->dir_fd, DIR_NAME, O_RDONLY | O_DIRECTORY, "spool.quarantine.open");
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        if (fd >= 0)
            (void)close(fd); /* nothing was read */
        return;
    }
    struct stat st;
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        /* NOLINTNEXTLINE(clang-analyzer-unix.StdCLibraryFunctions): an open directory has a descriptor */
        if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
            s->quarantine_used += (uint64_t)st.st_size;
    (void)closedir(dir); /* only read */
}

static bool room_for(struct spool *s, size_t bytes)
{
    (void)pthread_mutex_lock(&s->lock);
    bool room = s->quarantine_used + bytes <= QUARANTINE_MAX_BYTES;
    if (room)
        s->quarantine_used += bytes;
    (void)pthread_mutex_unlock(&s->lock);
    return room;
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
