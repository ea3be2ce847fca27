/* blob_kit.h: what the tests of the blob store share: a store in a directory of its own, and a look at all of its files. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "picket/base/buf.h"
#include "picket/base/clock.h"
#include "picket/base/error.h"
#include "picket/base/fault.h"
#include "picket/blob/blob.h"

enum { KIT_PATH_MAX = 256, PROJECT = 42 };
#define OLD_US (10 * CLOCK_US_PER_DAY)

struct kit {
    char root[KIT_PATH_MAX], dir[KIT_PATH_MAX];
    struct blob_config config;
    struct blob_store *s;
};

static inline void kit_reopen(struct kit *k)
{
    blob_close(k->s);
    assert_int_equal(blob_open(&k->config, &k->s), 0);
}

static inline void kit_init(struct kit *k)
{
    const char *tmp = getenv("TMPDIR");
    *k = (struct kit){0};
    (void)snprintf(k->root, sizeof k->root, "%s/picket-blob-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(k->root));
    assert_true(snprintf(k->dir, sizeof k->dir, "%s/attachments", k->root) < (int)sizeof k->dir);
    k->config = (struct blob_config){.dir = k->dir, .node = {{7}}, .oldest_us = clock_wall_us()};
    kit_reopen(k);
}

static inline int kit_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static inline void kit_done(struct kit *k)
{
    blob_close(k->s);
    assert_int_equal(nftw(k->root, kit_remove, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static inline void kit_path(const struct kit *k, const struct blob_name *name, char dst[KIT_PATH_MAX])
{
    char hex[2 * BLOB_HASH + 1] = {0};
    str_hex_encode(name->sha256, BLOB_HASH, hex);
    assert_true(snprintf(dst, KIT_PATH_MAX, "%s/%llu/%.2s/%s", k->dir, (unsigned long long)name->project_id, hex, hex) < KIT_PATH_MAX);
}

/* True when exactly these bytes lie there. */
static inline bool kit_holds(const struct kit *k, const struct blob_name *name, struct str bytes)
{
    uint64_t n = 0;
    AUTO_CLOSE int fd = blob_read_open(k->s, name, &n);
    AUTO_FREE char *found = malloc(bytes.n + 1);
    assert_non_null(found);
    return fd >= 0 && n == bytes.n && read(fd, found, bytes.n + 1) == (ssize_t)bytes.n && str_eq(str_of(found, bytes.n), bytes);
}

static inline void kit_age(const struct kit *k, const struct blob_name *name)
{
    char path[KIT_PATH_MAX];
    int64_t s = (clock_wall_us() - OLD_US) / CLOCK_US_PER_S;
    struct timespec times[2] = {{.tv_sec = s}, {.tv_sec = s}};
    kit_path(k, name, path);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* All files of the store by a walk; those that are old enough in `old` (room for `max`), and their number. */
static inline size_t kit_walk(const struct kit *k, int64_t before_us, struct blob_found *old, size_t max)
{
    struct blob_walk *w;
    const struct blob_found *found;
    size_t n, all = 0;
    int r;
    assert_int_equal(blob_walk_open(k->s, &w), 0);
    while ((r = blob_walk_next(w, before_us, &found, &n)) == 1)
        for (size_t i = 0; i < n; i++, all++)
            if (all < max)
                old[all] = found[i];
    assert_int_equal(r, 0);
    blob_walk_close(w);
    return all;
}
