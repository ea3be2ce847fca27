/* tune.c: sizes of the private PostgreSQL, from the memory and the disk that are there.
 *
 * An event's own id is at a random place of its index. Once that index is larger than shared_buffers, each insert may have to read a page and to write
 * another, and the one who inserts does both. An eighth of the memory is what PostgreSQL's own manual calls careful; it is taken when it is used. Two
 * gigabytes hold a day's index of some fifty million events.
 *
 * After a checkpoint each page that changes goes to the WAL whole, the more often the sooner the next one comes; max_wal_size is how much WAL brings it
 * on. What it takes is disk (a bound that is kept roughly), and time to recover after a crash: some seconds a gigabyte, while events are spooled. */
#include "tune.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "picket/base/macros.h"
#include "picket/base/str.h"

enum {
    MB_BITS = 20,
    BUFFERS_SHARE = 8,
    BUFFERS_MIN_MB = 128,
    BUFFERS_MAX_MB = 2048,
    WAL_SHARE = 16,
    WAL_MIN_MB = 1024,
    WAL_MAX_MB = 8192,
    GROUP_MAX = 256
};

static uint64_t share_mb(uint64_t bytes, unsigned share, uint64_t min_mb, uint64_t max_mb)
{
    uint64_t mb = (bytes >> MB_BITS) / share;
    return mb < min_mb ? min_mb : mb > max_mb ? max_mb : mb;
}

struct db_tuning db_tuning_of(uint64_t memory_bytes, uint64_t disk_bytes)
{
    return (struct db_tuning){.shared_buffers_mb = share_mb(memory_bytes, BUFFERS_SHARE, BUFFERS_MIN_MB, BUFFERS_MAX_MB),
                              .max_wal_size_mb = share_mb(disk_bytes, WAL_SHARE, WAL_MIN_MB, WAL_MAX_MB)};
}

/* The first line, or an empty string. */
static struct str first_line(const char *path, char *dst, size_t cap)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, dst, cap);
    const char *end = n > 0 ? memchr(dst, '\n', (size_t)n) : NULL;
    return str_of(dst, end ? (size_t)(end - dst) : 0);
}

/* The bound of the control group that this process is in (cgroups(7), version 2: one line "0::/path" names it), or of the container whose root that is.
 * 0: none. Groups above it are not asked: a bound there is rare, and what is taken is an eighth. */
static uint64_t group_memory(void)
{
    char line[GROUP_MAX], path[GROUP_MAX + 64], text[32];
    uint64_t bytes = 0;
    struct str group = first_line("/proc/self/cgroup", line, sizeof line);
    group = str_starts(group, STR("0::/")) ? str_drop(group, 3) : STR("/");
    (void)snprintf(path, sizeof path, "/sys/fs/cgroup%.*s/memory.max", (int)group.n, group.p);
    return str_to_u64(first_line(path, text, sizeof text), &bytes) ? bytes : 0; /* "max": none */
}

struct db_tuning db_tune(const char *dir)
{
    struct statvfs disk;
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    uint64_t memory = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0, group = group_memory();
    uint64_t disk_bytes = statvfs(dir, &disk) == 0 ? (uint64_t)disk.f_blocks * disk.f_frsize : 0;
    return db_tuning_of(group && group < memory ? group : memory, disk_bytes);
}
