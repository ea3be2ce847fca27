/* store.c: content as files.
 *
 *   <dir>/<project>/<2 hex digits>/<64 hex digits>     what was put, under its SHA-256; the two digits are its first
 *   <dir>/<project>/<2 hex digits>/.<random>.new       unfinished
 *   <dir>/holds/<node>                                 its time of change, durable: what that node has not told the database yet is not older
 *
 * B1  What blob_put has promised is on disk under its name: written beside it, synced, renamed, and the directories synced that lead to it.
 * B2  A file under its name is whole and is never changed; one that is there already is not written again, but its time of change is set to
 *     now and made durable, because that time is what keeps it from being swept (walk.c) until the database names it.
 * B3  What is put and what is swept exclude each other by a lock on the shard's directory (flock: shared to put, exclusive to remove), which
 *     holds between processes, too. So nothing is removed between the moment when somebody found it there and the one when its time is new.
 * B4  Bounds are checked before anything is written, against what this process knows: what lay there when it was counted, and what it has put
 *     since. Content that is there already counts once, in whole blocks: a disk full of files of one byte holds little else. What other processes put
 *     is seen at the next walk.
 *
 * Directories are made when they are needed and stay. An entry of a directory is durable when that directory was synced after it was made, by
 * whomever; so a process syncs the way to a shard once, before its first promise there, whether it made it or found it. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "picket/base/clock.h"
#include "picket/base/error.h"
#include "picket/base/fault.h"

enum { WRITE_MAX = 1 << 30, UNFINISHED_MAX = 48 };

/* ---- names */

void blob_file_name(const uint8_t sha256[BLOB_HASH], char dst[BLOB_NAME_MAX])
{
    str_hex_encode(sha256, BLOB_HASH, dst);
    dst[BLOB_NAME_MAX - 1] = '\0';
}

void blob_shard_path(uint64_t project_id, unsigned shard, char dst[BLOB_PATH_MAX])
{
    (void)snprintf(dst, BLOB_PATH_MAX, "%" PRIu64 "/%02x", project_id, shard); /* always fits */
}

int blob_dir_open(const struct blob_store *s, const char *below)
{
    AUTO_CLOSE int fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (!below)
        return TAKE_FD(fd);
    int r = openat(fd, below, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return r < 0 ? -errno : r;
}

/* ---- the disk, with places for tests to fail it */

static int dir_make(int at_fd, const char *name)
{
    int r = fault("blob.mkdir");
    return r < 0 ? r : mkdirat(at_fd, name, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

int blob_dir_sync(int fd)
{
    int r = fault("blob.dirsync");
    return r < 0 ? r : fsync(fd) < 0 ? -errno : 0;
}

static int file_write(int fd, struct str bytes)
{
    for (bool first = true; bytes.n || first; first = false) {
        int part = fault("blob.write");
        if (part < 0)
            return part;
        ssize_t n = write(fd, bytes.p, part > 0 ? bytes.n / 2 : bytes.n < WRITE_MAX ? bytes.n : WRITE_MAX);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0 && bytes.n && part == 0)
            return -EIO;
        bytes = str_drop(bytes, n < 0 ? 0 : (size_t)n);
    }
    return 0;
}

int blob_file_sync(int fd)
{
    int r = fault("blob.sync");
    return r < 0 ? r : fsync(fd) < 0 ? -errno : 0;
}

/* ---- what is known of the bytes */

uint64_t blob_on_disk(uint64_t bytes)
{
    uint64_t blocks = bytes / BLOB_BLOCK + (bytes % BLOB_BLOCK != 0);
    return (blocks ? blocks : 1) * BLOB_BLOCK;
}

struct blob_usage *blob_usage_of(struct blob_store *s, uint64_t project_id)
{
    for (size_t i = 0; i < s->n_usage; i++)
        if (s->usage[i].project_id == project_id)
            return &s->usage[i];
    if (s->n_usage == s->usage_cap) {
        s->usage_cap = s->usage_cap ? 2 * s->usage_cap : 16;
        s->usage = realloc(s->usage, s->usage_cap * sizeof *s->usage);
        if (!s->usage)
            abort();
    }
    s->usage[s->n_usage] = (struct blob_usage){.project_id = project_id};
    return &s->usage[s->n_usage++];
}

static bool exceeds(uint64_t now, uint64_t more, uint64_t max)
{
    return max > 0 && (more > max || now > max - more);
}

static int reserve(struct blob_store *s, uint64_t project_id, uint64_t bytes)
{
    (void)pthread_mutex_lock(&s->lock);
    struct blob_usage *u = blob_usage_of(s, project_id);
    bool over = exceeds(s->bytes, bytes, s->config.max_bytes) || exceeds(u->bytes, bytes, s->config.project_max_bytes);
    if (!over) {
        s->bytes += bytes;
        u->bytes += bytes;
    }
    (void)pthread_mutex_unlock(&s->lock);
    return over ? -ERR_BLOB_QUOTA : 0;
}

static void give_back(struct blob_store *s, uint64_t project_id, uint64_t bytes)
{
    (void)pthread_mutex_lock(&s->lock);
    struct blob_usage *u = blob_usage_of(s, project_id);
    uint64_t n = bytes < u->bytes ? bytes : u->bytes;
    u->bytes -= n;
    s->bytes -= n < s->bytes ? n : s->bytes;
    (void)pthread_mutex_unlock(&s->lock);
}

static bool way_is_durable(struct blob_store *s, uint64_t project_id, unsigned shard)
{
    (void)pthread_mutex_lock(&s->lock);
    bool is = blob_usage_of(s, project_id)->durable[shard / 8] >> shard % 8 & 1;
    (void)pthread_mutex_unlock(&s->lock);
    return is;
}

static void note_durable(struct blob_store *s, uint64_t project_id, unsigned shard)
{
    (void)pthread_mutex_lock(&s->lock);
    blob_usage_of(s, project_id)->durable[shard / 8] |= (uint8_t)(1u << shard % 8);
    (void)pthread_mutex_unlock(&s->lock);
}

/* ---- the way to a shard */

/* Makes and syncs each directory on the way. */
static int way_make(struct blob_store *s, uint64_t project_id, unsigned shard)
{
    char project[BLOB_PATH_MAX], name[8];
    (void)snprintf(project, sizeof project, "%" PRIu64, project_id);
    (void)snprintf(name, sizeof name, "%02x", shard);
    int r = dir_make(AT_FDCWD, s->dir);
    AUTO_CLOSE int top = r < 0 ? r : blob_dir_open(s, NULL);
    if (top < 0)
        return top;
    AUTO_CLOSE int above = openat(top, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    r = above < 0 ? -errno : blob_dir_sync(above);
    if (r == 0)
        r = dir_make(top, project);
    if (r == 0)
        r = blob_dir_sync(top);
    if (r < 0)
        return r;
    AUTO_CLOSE int dir = openat(top, project, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    r = dir < 0 ? -errno : dir_make(dir, name);
    return r < 0 ? r : blob_dir_sync(dir);
}

static int shard_open(struct blob_store *s, uint64_t project_id, unsigned shard)
{
    char path[BLOB_PATH_MAX];
    if (!way_is_durable(s, project_id, shard)) {
        int r = way_make(s, project_id, shard);
        if (r < 0)
            return r;
        note_durable(s, project_id, shard);
    }
    blob_shard_path(project_id, shard, path);
    return blob_dir_open(s, path);
}

/* ---- putting */

/* 1: it is there, and its time is new and durable; 0: it is not. A file of another size is damaged and is replaced. */
static int touch(int shard_fd, const char *name, uint64_t bytes)
{
    struct stat st;
    AUTO_CLOSE int fd = openat(shard_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != bytes)
        return 0;
    int r = fault("blob.touch");
    if (r == 0 && futimens(fd, NULL) < 0)
        r = -errno;
    if (r == 0)
        r = blob_file_sync(fd); /* B2; the bytes, too, should another be just before its own */
    return r < 0 ? r : 1;
}

static int write_under(int shard_fd, const char *unfinished, const char *name, struct str bytes)
{
    int r = fault("blob.open");
    if (r < 0)
        return r;
    AUTO_CLOSE int fd = openat(shard_fd, unfinished, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    r = file_write(fd, bytes);
    if (r == 0)
        r = blob_file_sync(fd);
    if (r == 0)
        r = fault("blob.rename");
    if (r == 0 && renameat(shard_fd, unfinished, shard_fd, name) < 0)
        r = -errno;
    if (r < 0)
        (void)unlinkat(shard_fd, unfinished, 0); /* what stays is swept one day */
    return r;
}

/* 1: written; 0: it was there. */
static int put_file(struct blob_store *s, const struct blob_name *name, struct str bytes)
{
    char file[BLOB_NAME_MAX], hex[ID_HEX + 1], unfinished[UNFINISHED_MAX];
    struct id128 random = id_random();
    blob_file_name(name->sha256, file);
    id_hex(&random, hex);
    (void)snprintf(unfinished, sizeof unfinished, ".%s.new", hex);
    AUTO_CLOSE int shard = shard_open(s, name->project_id, name->sha256[0]);
    if (shard < 0)
        return shard;
    if (flock(shard, LOCK_SH) < 0) /* B3; until it is closed */
        return -errno;
    int there = touch(shard, file, bytes.n);
    int r = there == 0 ? write_under(shard, unfinished, file, bytes) : there;
    if (r >= 0)
        r = blob_dir_sync(shard);
    return r < 0 ? r : !there;
}

bool blob_has_room(const struct statvfs *disk, uint64_t bytes, uint64_t free_floor_bytes)
{
    uint64_t room = (uint64_t)disk->f_bavail * disk->f_frsize;
    if (free_floor_bytes == 0)
        return true;
    if (disk->f_files > 0 && disk->f_favail < BLOB_FILES_FLOOR) /* 0: it has no fixed number of them */
        return false;
    return room >= bytes && room - bytes >= free_floor_bytes;
}

static int check_room(const struct blob_store *s, uint64_t bytes)
{
    struct statvfs disk;
    AUTO_CLOSE int fd = blob_dir_open(s, NULL);
    if (fd == -ENOENT) /* the first one: the disk is its parent's, and is asked the next time */
        return 0;
    if (fd < 0)
        return fd;
    if (fault("blob.statvfs") < 0 || fstatvfs(fd, &disk) < 0)
        return -ERR_BLOB_FULL; /* a disk that cannot be asked is taken for full */
    return blob_has_room(&disk, bytes, s->config.free_floor_bytes) ? 0 : -ERR_BLOB_FULL;
}

static int explain(int r)
{
    return r == -ENOSPC || r == -EDQUOT ? -ERR_BLOB_FULL : r == -ERR_BLOB_FULL ? r : -ERR_BLOB_FAILED;
}

/* Before anything is put: the word that keeps it (walk.c). */
static int hold_back(struct blob_store *s)
{
    int64_t now_us = clock_wall_us(), oldest_us = s->config.oldest_us;
    if (atomic_load(&s->held_us) <= now_us)
        return 0;
    return blob_hold(s, &s->config.node, oldest_us < now_us ? oldest_us : now_us);
}

int blob_put(struct blob_store *s, uint64_t project_id, struct str bytes, struct blob_name *ret)
{
    struct blob_name name = {.project_id = project_id};
    if (EVP_Digest(bytes.n ? bytes.p : "", bytes.n, name.sha256, NULL, EVP_sha256(), NULL) != 1)
        abort(); /* out of memory */
    uint64_t on_disk = blob_on_disk(bytes.n);
    int r = reserve(s, project_id, on_disk);
    if (r < 0)
        return r;
    r = hold_back(s);
    if (r == 0)
        r = check_room(s, on_disk);
    if (r == 0)
        r = put_file(s, &name, bytes);
    if (r != 1)
        give_back(s, project_id, on_disk);
    if (r < 0)
        return explain(r);
    *ret = name;
    return 0;
}

/* ---- reading */

int blob_read_open(struct blob_store *s, const struct blob_name *name, uint64_t *ret_bytes)
{
    char path[BLOB_PATH_MAX], file[BLOB_NAME_MAX];
    struct stat st;
    blob_shard_path(name->project_id, name->sha256[0], path);
    blob_file_name(name->sha256, file);
    AUTO_CLOSE int shard = blob_dir_open(s, path);
    if (shard < 0)
        return shard;
    AUTO_CLOSE int fd = openat(shard, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EIO;
    *ret_bytes = (uint64_t)st.st_size;
    return TAKE_FD(fd);
}

/* ---- the store */

int blob_open(const struct blob_config *config, struct blob_store **ret)
{
    struct blob_store *s = calloc(1, sizeof *s);
    if (!s)
        return -ENOMEM;
    s->config = *config;
    s->dir = strdup(config->dir);
    if (!s->dir) {
        free(s);
        return -ENOMEM;
    }
    s->config.dir = s->dir;
    atomic_init(&s->held_us, BLOB_HOLDS_NOTHING);
    (void)pthread_mutex_init(&s->lock, NULL);
    *ret = s;
    return 0;
}

void blob_close(struct blob_store *s)
{
    if (!s)
        return;
    (void)pthread_mutex_destroy(&s->lock);
    free(s->usage);
    free(s->dir);
    free(s);
}

void blob_stop(struct blob_store *s)
{
    atomic_store(&s->stopped, true);
}

void blob_stats(struct blob_store *s, struct blob_stats *ret)
{
    (void)pthread_mutex_lock(&s->lock);
    *ret = (struct blob_stats){.counted = s->counted, .bytes = s->bytes};
    (void)pthread_mutex_unlock(&s->lock);
}
