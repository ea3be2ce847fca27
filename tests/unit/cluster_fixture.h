/* cluster_fixture.h: a PostgreSQL for one test program, in a temporary directory of its own, by way of the db layer's private cluster. Works
 * as root too: the server then runs as user postgres. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <dirent.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "picket/db/cluster.h"

enum { FIXTURE_PATH_MAX = 512, FIXTURE_START_MS = 60000 };

struct cluster_fixture {
    char top[FIXTURE_PATH_MAX], dir[FIXTURE_PATH_MAX]; /* dir: the cluster's, below top */
    struct db_cluster *cluster;
};

static inline void fixture_remove_tree(const char *path)
{
    char child[FIXTURE_PATH_MAX * 2];
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        assert_true(snprintf(child, sizeof child, "%s/%s", path, e->d_name) < (int)sizeof child);
        struct stat st;
        if (lstat(child, &st) == 0 && S_ISDIR(st.st_mode))
            fixture_remove_tree(child); /* a cluster is four levels deep */
        else
            (void)unlink(child);
    }
    if (dir)
        (void)closedir(dir);
    (void)rmdir(path);
}

/* The directory only: for tests that start the cluster themselves. */
static inline void fixture_make(struct cluster_fixture *f)
{
    const char *base = getenv("TMPDIR");
    *f = (struct cluster_fixture){0};
    assert_true(snprintf(f->top, sizeof f->top, "%s/picket-db-XXXXXX", base && base[0] ? base : "/tmp") < (int)sizeof f->top);
    assert_non_null(mkdtemp(f->top));
    assert_int_equal(chmod(f->top, 0711), 0); /* user postgres passes through */
    assert_true(snprintf(f->dir, sizeof f->dir, "%s/postgres", f->top) < (int)sizeof f->dir);
}

static inline void fixture_start(struct cluster_fixture *f)
{
    const struct db_cluster_config config = {.dir = f->dir, .start_ms = FIXTURE_START_MS};
    const char *why = "";
    int r = db_cluster_start(&config, &f->cluster, &why);
    if (r < 0)
        fail_msg("no cluster: %d %s", r, why);
}

static inline const char *fixture_conninfo(const struct cluster_fixture *f)
{
    return db_cluster_conninfo(f->cluster);
}

static inline void fixture_stop(struct cluster_fixture *f)
{
    db_cluster_stop(f->cluster);
    f->cluster = NULL;
}

static inline void fixture_remove(struct cluster_fixture *f)
{
    fixture_stop(f);
    fixture_remove_tree(f->top);
}
