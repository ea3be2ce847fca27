/* blob.h: large things that are not rows, attachments above all: files named by the SHA-256 of what they hold, apart for each project. Design and
 * the promises B1–B4: src/blob/store.c.
 *
 * Threads: any, several at once; everything here blocks for the disk, so never on a loop. Several processes may share the directory. Errors are
 * -errno, or those that are named. */
#pragma once

#include "picket/base/id.h"

enum { BLOB_HASH = 32 /* SHA-256 */, BLOB_BLOCK = 4096 };

struct blob_config {
    const char *dir;            /* made 0700 when the first one comes; its parent is there. Copied */
    uint64_t max_bytes;         /* of all projects together, in whole blocks (BLOB_BLOCK); 0: no bound */
    uint64_t project_max_bytes; /* of each project; 0: no bound */
    uint64_t free_floor_bytes;  /* free disk space that is left alone, and with it some files; 0: nothing is */
    struct id128 node;          /* who puts, and what it holds before its first: see blob_hold */
    int64_t oldest_us;
};
struct blob_name {
    uint64_t project_id;
    uint8_t sha256[BLOB_HASH];
};

struct blob_store;
MUST_CHECK int blob_open(const struct blob_config *config, struct blob_store **ret);
void blob_close(struct blob_store *s); /* nothing of it is under way; NULL is fine */

/* Durable when it returns 0 (B1). -ERR_BLOB_QUOTA: max_bytes or project_max_bytes would be passed, by what is known (blob_count); -ERR_BLOB_FULL: the disk
 * has no room; -ERR_BLOB_FAILED: it could not be made durable. */
MUST_CHECK int blob_put(struct blob_store *s, uint64_t project_id, struct str bytes, struct blob_name *ret);
/* A descriptor to read from, the caller's; -ENOENT: there is none. */
MUST_CHECK int blob_read_open(struct blob_store *s, const struct blob_name *name, uint64_t *ret_bytes);

struct blob_stats {
    bool counted;   /* what lay there at the opening is among the figures: blob_count or a whole walk is through */
    uint64_t bytes; /* in whole blocks */
};
void blob_stats(struct blob_store *s, struct blob_stats *ret);
/* Walks through the directory for the figures that bounds are checked against; what is put meanwhile is in them, perhaps twice. Ends early after
 * blob_stop. */
MUST_CHECK int blob_count(struct blob_store *s);
void blob_stop(struct blob_store *s);

/* ---- what nobody names any more. Who removes asks the database first, and only about what is older than anything that is not in it yet. */

/* Says, for all processes that use the directory, that `node` may still have to tell the database of what was put since oldest_us. The first blob_put
 * says it by itself, as blob_config has it, and so does one that comes when the clock shows less than the word that was said last; it is said again as time
 * goes by, and a late word keeps more than is needed. Durable when it returns 0. */
MUST_CHECK int blob_hold(struct blob_store *s, const struct id128 *node, int64_t oldest_us);
/* Before which time everything was told: the least that nodes hold, and now, less an hour for what is under way. -ENOENT: no node has ever said. */
MUST_CHECK int blob_horizon(struct blob_store *s, int64_t *ret_us);

struct blob_found {
    struct blob_name name;
    uint64_t bytes;
};
struct blob_walk; /* one thread at a time */
MUST_CHECK int blob_walk_open(struct blob_store *s, struct blob_walk **ret);
void blob_walk_close(struct blob_walk *w); /* NULL is fine */
/* The next part of the directory: what was put there before `before_us` and not since, all of one project; borrowed until the next call. 1: *ret_n
 * of them, perhaps none; 0: that was all. Unfinished files of that age are removed on the way. */
MUST_CHECK int blob_walk_next(struct blob_walk *w, int64_t before_us, const struct blob_found **ret, size_t *ret_n);
/* 1: removed; 0: somebody has put it again since `before_us`, or it is gone. */
MUST_CHECK int blob_remove(struct blob_store *s, const struct blob_found *found, int64_t before_us);
