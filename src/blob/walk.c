/* walk.c: what lies in the store, shard by shard; what of it may go; and how many bytes there are.
 *
 * A file is named by the database, or by a record that is on its way there: then it was put when that record came, so its time of change is not
 * before it (B2). Each node says from time to time how old the oldest record is that it may still have, in holds/. What is older than the least of
 * these can be judged by the database alone: its rows are asked, and what none of them names is removed, unless it was put again meanwhile
 * (B3). A node that is down keeps its last word, and with it everything that was put since; so its word is durable before it puts anything, or
 * a cut of power could take the word and leave the content to the sweep of whoever is back first. The names that lead to holds/ are synced on
 * the way to the first shard.
 *
 * A clock that was ahead, and is set right, has said words that what is put now is older than. So who puts says a new word first when the last is of a time
 * to come, and nobody judges what is younger than an hour by its own clock, whatever the words say.
 *
 * The same walk adds up the bytes of each project, which puts them right after what other processes did. */
#include "internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "picket/base/clock.h"
#include "picket/base/fault.h"

static const char HOLDS[] = "holds";

struct blob_walk {
    struct blob_store *store;
    uint64_t *projects; /* heap, as listed at the opening */
    size_t n_projects, at;
    unsigned shard;        /* of projects[at], next */
    uint64_t bytes, known; /* of the project: seen so far; what was known of it when its walk began */
    struct blob_found *found;
    size_t cap;
};

static int64_t changed_us(const struct stat *st)
{
    return (int64_t)st->st_mtim.tv_sec * CLOCK_US_PER_S + st->st_mtim.tv_nsec / 1000;
}

/* ---- holds */

int blob_hold(struct blob_store *s, const struct id128 *node, int64_t oldest_us)
{
    char name[ID_HEX + 1];
    struct timespec times[2];
    times[0] = times[1] = (struct timespec){.tv_sec = oldest_us / CLOCK_US_PER_S, .tv_nsec = oldest_us % CLOCK_US_PER_S * 1000};
    id_hex(node, name);
    if (mkdir(s->dir, 0700) < 0 && errno != EEXIST)
        return -errno;
    AUTO_CLOSE int top = blob_dir_open(s, NULL);
    if (top < 0)
        return top;
    if (mkdirat(top, HOLDS, 0700) < 0 && errno != EEXIST)
        return -errno;
    AUTO_CLOSE int dir = blob_dir_open(s, HOLDS);
    if (dir < 0)
        return dir;
    AUTO_CLOSE int fd = openat(dir, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0 || futimens(fd, times) < 0)
        return -errno;
    int r = blob_file_sync(fd); /* it may have gone back */
    if (r == 0)
        r = blob_dir_sync(dir);
    if (r == 0 && id_eq(node, &s->config.node))
        atomic_store(&s->held_us, oldest_us);
    return r;
}

static int list_open(const struct blob_store *s, const char *below, DIR **ret)
{
    *ret = NULL;
    int fd = blob_dir_open(s, below);
    if (fd < 0)
        return fd;
    *ret = fdopendir(fd);
    if (*ret)
        return 0;
    int r = -errno;
    (void)close(fd);
    return r;
}

int blob_horizon(struct blob_store *s, int64_t *ret_us)
{
    int64_t least = INT64_MAX;
    DIR *dir;
    int r = list_open(s, HOLDS, &dir);
    if (r < 0)
        return r;
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        struct id128 node;
        struct stat st;
        if (!id_parse(str_from(e->d_name), &node) || fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        least = changed_us(&st) < least ? changed_us(&st) : least;
    }
    (void)closedir(dir); /* only read */
    if (least == INT64_MAX)
        return -ENOENT;
    int64_t now_us = clock_wall_us();
    *ret_us = (least < now_us ? least : now_us) - CLOCK_US_PER_HOUR;
    return 0;
}

/* ---- the walk */

static bool is_project(const char *name, uint64_t *ret)
{
    return str_to_u64(str_from(name), ret) && (name[0] != '0' || name[1] == '\0');
}

int blob_walk_open(struct blob_store *s, struct blob_walk **ret)
{
    size_t cap = 0;
    struct blob_walk *w = calloc(1, sizeof *w);
    if (!w)
        return -ENOMEM;
    w->store = s;
    DIR *dir = opendir(s->dir);
    if (!dir && errno != ENOENT) {
        int r = -errno;
        free(w);
        return r;
    }
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;) {
        uint64_t project;
        if (!is_project(e->d_name, &project))
            continue;
        if (w->n_projects == cap) {
            cap = cap ? 2 * cap : 16;
            w->projects = realloc(w->projects, cap * sizeof *w->projects);
            if (!w->projects)
                abort();
        }
        w->projects[w->n_projects++] = project;
    }
    if (dir)
        (void)closedir(dir); /* only read */
    *ret = w;
    return 0;
}

void blob_walk_close(struct blob_walk *w)
{
    if (!w)
        return;
    free(w->projects);
    free(w->found);
    free(w);
}

static void add_found(struct blob_walk *w, size_t *n, const struct blob_found *found)
{
    if (*n == w->cap) {
        w->cap = w->cap ? 2 * w->cap : 64;
        w->found = realloc(w->found, w->cap * sizeof *w->found);
        if (!w->found)
            abort();
    }
    w->found[(*n)++] = *found;
}

static void see(struct blob_walk *w, int dir_fd, const char *file, int64_t before_us, size_t *n)
{
    struct blob_found found = {.name.project_id = w->projects[w->at]};
    struct str name = str_from(file);
    struct stat st;
    if (fstatat(dir_fd, file, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
        return; /* gone meanwhile, or none of ours */
    bool old = changed_us(&st) < before_us;
    if (str_starts(name, STR(".")) && str_ends(name, STR(".new"))) {
        if (old)
            (void)unlinkat(dir_fd, file, 0); /* tried again the next time */
        return;
    }
    if (!str_hex_decode(name, found.name.sha256, BLOB_HASH))
        return;
    found.bytes = (uint64_t)st.st_size;
    w->bytes += blob_on_disk(found.bytes);
    if (old)
        add_found(w, n, &found);
}

/* A project is through: what was put meanwhile is added, though the walk may have seen it. */
static void settle_project(struct blob_walk *w)
{
    struct blob_store *s = w->store;
    (void)pthread_mutex_lock(&s->lock);
    struct blob_usage *u = blob_usage_of(s, w->projects[w->at]);
    uint64_t put = u->bytes > w->known ? u->bytes - w->known : 0, now = w->bytes + put;
    s->bytes = s->bytes - u->bytes + now;
    u->bytes = now;
    (void)pthread_mutex_unlock(&s->lock);
    w->bytes = 0;
    w->shard = 0;
    w->at++;
}

static void begin_project(struct blob_walk *w)
{
    (void)pthread_mutex_lock(&w->store->lock);
    w->known = blob_usage_of(w->store, w->projects[w->at])->bytes;
    (void)pthread_mutex_unlock(&w->store->lock);
}

static void settle_all(struct blob_store *s)
{
    (void)pthread_mutex_lock(&s->lock);
    s->counted = true;
    (void)pthread_mutex_unlock(&s->lock);
}

int blob_walk_next(struct blob_walk *w, int64_t before_us, const struct blob_found **ret, size_t *ret_n)
{
    char path[BLOB_PATH_MAX];
    size_t n = 0;
    if (w->shard == BLOB_SHARDS)
        settle_project(w);
    if (w->at == w->n_projects) {
        settle_all(w->store);
        return 0;
    }
    if (w->shard == 0)
        begin_project(w);
    blob_shard_path(w->projects[w->at], w->shard, path);
    DIR *dir;
    int r = list_open(w->store, path, &dir);
    if (r < 0 && r != -ENOENT)
        return r;
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;)
        see(w, dirfd(dir), e->d_name, before_us, &n);
    if (dir)
        (void)closedir(dir); /* only read */
    w->shard++;
    *ret = w->found;
    *ret_n = n;
    return 1;
}

int blob_count(struct blob_store *s)
{
    struct blob_walk *w = NULL;
    const struct blob_found *found;
    size_t n;
    int r = blob_walk_open(s, &w);
    if (r < 0)
        return r;
    assert(w);
    while (!atomic_load(&s->stopped) && (r = blob_walk_next(w, 0, &found, &n)) == 1)
        continue;
    blob_walk_close(w);
    return r < 0 ? r : 0;
}

/* ---- removing */

static int remove_locked(int shard, const char *file, int64_t before_us)
{
    struct stat st;
    if (flock(shard, LOCK_EX) < 0 || fstatat(shard, file, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (changed_us(&st) >= before_us)
        return 0;
    int r = fault("blob.unlink");
    return r < 0 ? r : unlinkat(shard, file, 0) < 0 ? -errno : 1;
}

int blob_remove(struct blob_store *s, const struct blob_found *found, int64_t before_us)
{
    char path[BLOB_PATH_MAX], file[BLOB_NAME_MAX];
    blob_shard_path(found->name.project_id, found->name.sha256[0], path);
    blob_file_name(found->name.sha256, file);
    AUTO_CLOSE int shard = blob_dir_open(s, path);
    int r = shard < 0 ? shard : remove_locked(shard, file, before_us); /* B3; until it is closed */
    if (r != 1)
        return r == -ENOENT ? 0 : r;
    (void)pthread_mutex_lock(&s->lock);
    struct blob_usage *u = blob_usage_of(s, found->name.project_id);
    uint64_t on_disk = blob_on_disk(found->bytes), n = on_disk < u->bytes ? on_disk : u->bytes;
    u->bytes -= n;
    s->bytes -= n;
    (void)pthread_mutex_unlock(&s->lock);
    return 1;
}
