/* internal.h: what store.c and walk.c share. Private to blob. */
#pragma once

#include "picket/blob/blob.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    BLOB_SHARDS = 256, /* directories of a project, by the first byte of the hash */
    BLOB_NAME_MAX = 2 * BLOB_HASH + 1,
    BLOB_PATH_MAX = 128,     /* below `dir`: <project>/<shard>/<name> */
    BLOB_FILES_FLOOR = 1024, /* left to the database and the spool, which may share the disk */
};

#define BLOB_HOLDS_NOTHING INT64_MAX

struct blob_usage {                   /* of a project */
    uint64_t project_id, bytes;       /* as blob_on_disk() has them */
    uint8_t durable[BLOB_SHARDS / 8]; /* a bit for each shard whose directory entries this process has synced */
};

struct blob_store {
    char *dir;
    struct blob_config config;
    atomic_bool stopped;
    atomic_llong held_us; /* what this node holds; BLOB_HOLDS_NOTHING: it has not said yet */
    pthread_mutex_t lock; /* of what follows; never held across I/O */
    struct blob_usage *usage;
    size_t n_usage, usage_cap;
    uint64_t bytes;
    bool counted;
};

/* store.c */
void blob_file_name(const uint8_t sha256[BLOB_HASH], char dst[BLOB_NAME_MAX]);
void blob_shard_path(uint64_t project_id, unsigned shard, char dst[BLOB_PATH_MAX]);
/* What content of that length takes of a bound: an empty file is one, too. */
uint64_t blob_on_disk(uint64_t bytes);
/* Whether a disk has room for one more file of that length. */
struct statvfs;
bool blob_has_room(const struct statvfs *disk, uint64_t bytes, uint64_t free_floor_bytes);
/* The descriptor of the store's own directory or of one below it; -ENOENT. */
MUST_CHECK int blob_dir_open(const struct blob_store *s, const char *below);
/* fsync, with places for tests to fail it. */
MUST_CHECK int blob_dir_sync(int fd);
MUST_CHECK int blob_file_sync(int fd);
/* Under the store's lock: the project's entry; made when it has none. */
struct blob_usage *blob_usage_of(struct blob_store *s, uint64_t project_id);
