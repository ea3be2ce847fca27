/* key_copy.c: what the key cache knew, on disk beside the spool, so that a restart while the database is away goes on accepting.
 *
 * Format (little-endian, as it lies in memory): a head of 32 bytes, then entries of 40. The checksum covers everything behind it. The file is
 * made under another name, synced and renamed. A damaged one is worth no more than none: the keys are in the database. */
#include "key_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "picket/base/buf.h"
#include "picket/base/hash.h"

#define MAGIC UINT64_C(0x3159454b544b4350) /* "PCKTKEY1" */
enum { ENTRIES_MAX = 10 * 1000 * 1000 };

struct head {
    uint64_t sum; /* of the rest of the file */
    uint64_t magic;
    uint64_t n;
    uint64_t reserved;
};
struct disk_entry {
    struct id128 key;
    uint64_t project_id;
    int64_t key_id;
    uint64_t active;
};
_Static_assert(sizeof(struct head) == 32 && sizeof(struct disk_entry) == 40, "the format has no holes");

static int write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t r = write(fd, p, n);
        if (r < 0 && errno != EINTR)
            return -errno;
        if (r > 0) {
            p += r;
            n -= (size_t)r;
        }
    }
    return 0;
}

/* The bytes under `name`, durable. */
static int make_file(const char *name, struct str bytes)
{
    AUTO_CLOSE int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int r = write_all(fd, bytes.p, bytes.n);
    return r == 0 && fdatasync(fd) < 0 ? -errno : r;
}

static int sync_directory_of(const char *path)
{
    char copy[PATH_MAX];
    (void)snprintf(copy, sizeof copy, "%s", path); /* its length was checked */
    char *slash = strrchr(copy, '/');
    if (slash)
        slash[1] = '\0';
    AUTO_CLOSE int fd = open(slash ? copy : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fdatasync(fd) < 0 ? -errno : 0;
}

int key_copy_write(const char *path, const struct key_entry *entries, size_t n)
{
    char made[PATH_MAX];
    if (snprintf(made, sizeof made, "%s.tmp", path) >= (int)sizeof made)
        return -ENAMETOOLONG;
    AUTO_BUF struct buf out = {0};
    struct head head = {.magic = MAGIC, .n = n};
    buf_reserve(&out, sizeof head + n * sizeof(struct disk_entry));
    buf_append(&out, &head, sizeof head);
    for (size_t i = 0; i < n; i++) {
        struct disk_entry e = {entries[i].key, entries[i].info.project_id, entries[i].info.key_id, entries[i].info.active};
        buf_append(&out, &e, sizeof e);
    }
    head.sum = hash64(out.p + sizeof head.sum, out.n - sizeof head.sum);
    memcpy(out.p, &head.sum, sizeof head.sum);
    int r = make_file(made, buf_str(&out));
    if (r == 0 && rename(made, path) < 0)
        r = -errno;
    return r == 0 ? sync_directory_of(path) : r;
}

static int read_file(const char *path, struct buf *ret)
{
    struct stat st;
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || st.st_size > (off_t)(sizeof(struct head) + (off_t)ENTRIES_MAX * (off_t)sizeof(struct disk_entry)))
        return -EBADMSG;
    buf_reserve(ret, (size_t)st.st_size + 1);
    for (;;) {
        ssize_t r = read(fd, ret->p + ret->n, ret->cap - ret->n);
        if (r < 0 && errno != EINTR)
            return -errno;
        if (r == 0 || ret->n + (size_t)(r > 0 ? r : 0) == ret->cap)
            return 0;
        if (r > 0)
            ret->n += (size_t)r;
    }
}

int64_t key_copy_read(const char *path, struct key_entry **ret)
{
    AUTO_BUF struct buf in = {0};
    struct head head;
    int r = read_file(path, &in);
    if (r < 0)
        return r;
    if (in.n < sizeof head)
        return -EBADMSG;
    memcpy(&head, in.p, sizeof head);
    if (head.magic != MAGIC || head.n > ENTRIES_MAX || in.n != sizeof head + head.n * sizeof(struct disk_entry) ||
        head.sum != hash64(in.p + sizeof head.sum, in.n - sizeof head.sum))
        return -EBADMSG;
    struct key_entry *entries = calloc(head.n + 1, sizeof *entries); /* + 1: never asks for nothing */
    if (!entries)
        return -ENOMEM;
    for (size_t i = 0; i < head.n; i++) {
        struct disk_entry e;
        memcpy(&e, in.p + sizeof head + i * sizeof e, sizeof e);
        entries[i] = (struct key_entry){e.key, {.project_id = e.project_id, .key_id = e.key_id, .active = e.active == 1}};
    }
    *ret = entries;
    return (int64_t)head.n;
}
