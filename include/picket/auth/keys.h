/* keys.h: the cache of project keys that the door asks. Shared by all HTTP threads (a read-write lock, held for a look-up). Filled from the
 * database at start and after every reconnect of its listener, kept right by NOTIFY picket_keys; with the database away what is known stays
 * known, and a copy on disk (mode 0600, replaced as a whole) outlives a restart. Unknown keys are remembered for a few seconds, in a bounded table, so that a stray client does not become a query per request. */
#pragma once

#include "picket/base/work.h"
#include "picket/db/db.h"

struct key_info {
    uint64_t project_id;
    int64_t key_id;
    bool active;
};
enum key_verdict { KEY_OK, KEY_REJECTED, KEY_MISS };

struct key_cache;
MUST_CHECK int key_cache_open(struct key_cache **ret);
void key_cache_free(struct key_cache *c);

/* For who does not name one: the key says which it is (ret->project_id). */
#define KEY_ANY_PROJECT UINT64_MAX

/* KEY_OK: active and of this project. KEY_REJECTED: known to be anything else. KEY_MISS: ask with key_query_start. Any thread. */
enum key_verdict key_cache_check(struct key_cache *c, const struct id128 *key, uint64_t project_id, struct key_info *ret);

/* All keys were in it once, of the database or of its copy: a miss is a key that was made since, or by nobody. Any thread. */
bool key_cache_is_filled(struct key_cache *c);

/* One cold miss = one query. Caller's struct; done() exactly once, later, on db's loop: 0 with the verdict (KEY_OK or KEY_REJECTED), or the
 * database's error. The answer is also put into the cache. */
struct key_query {
    struct db_query query; /* private */
    struct key_cache *cache;
    struct id128 key;
    uint64_t project_id, notices;
    struct key_info info; /* with KEY_OK */
    void (*done)(struct key_query *q, int r, enum key_verdict verdict);
};
void key_query_start(struct key_query *q, struct key_cache *c, struct db *db, const struct id128 *key, uint64_t project_id,
                     void (*done)(struct key_query *q, int r, enum key_verdict verdict));
void key_query_cancel(struct key_query *q);

/* Fills the cache from its copy, for a start while the database is away. The number of keys; -ENOENT: there is no copy; -EBADMSG: it is damaged;
 * else -errno. Blocking. A key that was taken back since then is good until the database answers. */
MUST_CHECK int64_t key_cache_restore(struct key_cache *c, const char *copy_path);

/* Loads all keys and follows NOTIFY, on this loop, until key_watch_close; what changed is copied to disk by a worker, at most once a second. */
struct key_watch;
struct key_watch_config {
    struct key_cache *cache;
    uv_loop_t *loop;
    struct db *db; /* of this loop, one connection: its queries keep their order */
    const char *conninfo;
    struct work_pool *work;
    const char *copy_path; /* borrowed; NULL: no copy (work is not needed then) */
    /* Limits of keys and projects were changed, or may have been while nobody listened (ingest/quota.h): it is the same channel. NULL: nobody asks. */
    void (*quotas_changed)(void *arg);
    void *quotas_arg;
};
MUST_CHECK int key_watch_open(const struct key_watch_config *config, struct key_watch **ret);
void key_watch_close(struct key_watch *w, void (*closed)(void *arg), void *arg);
