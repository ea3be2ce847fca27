/* spool_kit.h: what the spool's tests share: a directory of their own, a spool with one port on a loop, and records that carry a number
 * (as their project) from which everything else in them follows, so that a reader can check every byte. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "picket/base/clock.h"
#include "picket/base/error.h"
#include "picket/base/fault.h"
#include "picket/base/hash.h"
#include "picket/spool/spool.h"

enum { KIT_PATH_MAX = 512, KIT_SEGMENT_HEAD = 64, KIT_RECORD_HEAD = 120 };

struct kit {
    char dir[KIT_PATH_MAX], spool_dir[KIT_PATH_MAX];
    struct spool_config config;
    uv_loop_t loop;
    struct spool *s;
    struct spool_port *port;
    struct spool_recovery recovery;
    size_t part_bytes; /* of a range that are read at a time; 0: all of it */
};

/* ---- files */

static inline void kit_path(const struct kit *k, const char *name, char dst[KIT_PATH_MAX])
{
    assert_true(snprintf(dst, KIT_PATH_MAX, "%s/%s", k->spool_dir, name) < KIT_PATH_MAX);
}

static inline void kit_remove_tree(const char *path)
{
    char child[KIT_PATH_MAX];
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        assert_true(snprintf(child, sizeof child, "%s/%s", path, e->d_name) < (int)sizeof child);
        struct stat st;
        if (lstat(child, &st) == 0 && S_ISDIR(st.st_mode))
            kit_remove_tree(child); /* two levels deep: our own tree */
        else
            (void)unlink(child);
    }
    if (dir)
        (void)closedir(dir);
    (void)rmdir(path);
}

static inline size_t kit_files(const struct kit *k, const char *subdir, const char *suffix, char last[KIT_PATH_MAX])
{
    char path[KIT_PATH_MAX], best[KIT_PATH_MAX] = "";
    size_t n = 0;
    kit_path(k, subdir, path);
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;) {
        size_t len = strlen(e->d_name), want = strlen(suffix);
        if (e->d_name[0] == '.' || len < want || strcmp(e->d_name + len - want, suffix) != 0)
            continue;
        n++;
        if (strcmp(e->d_name, best) > 0)
            assert_true(snprintf(best, sizeof best, "%s", e->d_name) < (int)sizeof best);
    }
    if (dir)
        (void)closedir(dir);
    if (last && n > 0)
        kit_path(k, best, last);
    return n;
}

/* Number of segments; the path of the newest in `last` unless it is NULL. */
static inline size_t kit_segments(const struct kit *k, char last[KIT_PATH_MAX])
{
    return kit_files(k, ".", ".seg", last);
}

static inline struct buf kit_file_read(const char *path)
{
    struct buf b = {0};
    struct stat st;
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    buf_reserve(&b, (size_t)st.st_size + 1);
    ssize_t n = pread(fd, b.p, (size_t)st.st_size, 0);
    assert_int_equal(n, st.st_size);
    b.n = (size_t)n;
    return b;
}

static inline void kit_file_write(const char *path, const void *p, size_t n)
{
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, p, n, 0), n);
}

static inline void kit_file_patch(const char *path, uint64_t at, const void *p, size_t n)
{
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, p, n, (off_t)at), n);
}

static const char *const kit_cursors[] = {"cursor", "cursor.kept"};

/* As after a disk that lost both: how far it was is known no more. */
static inline void kit_cursors_remove(const struct kit *k)
{
    char path[KIT_PATH_MAX];
    for (size_t i = 0; i < ARRAY_LEN(kit_cursors); i++) {
        kit_path(k, kit_cursors[i], path);
        (void)unlink(path); /* may not be there yet */
    }
}

/* ---- opening and closing */

static inline void kit_init(struct kit *k)
{
    const char *tmp = getenv("TMPDIR");
    *k = (struct kit){.config = {.segment_bytes = 1 << 20, .max_bytes = UINT64_C(1) << 32, .max_pending_bytes = 64 << 20}};
    assert_true(snprintf(k->dir, sizeof k->dir, "%s/spool-test-XXXXXX", tmp ? tmp : P_tmpdir) < (int)sizeof k->dir);
    assert_non_null(mkdtemp(k->dir));
    assert_true(snprintf(k->spool_dir, sizeof k->spool_dir, "%.400s/spool", k->dir) < (int)sizeof k->spool_dir);
    k->config.dir = k->spool_dir;
    assert_int_equal(uv_loop_init(&k->loop), 0);
}

static inline void kit_open(struct kit *k)
{
    assert_int_equal(spool_open(&k->config, &k->s, &k->recovery), 0);
    assert_int_equal(spool_port_open(k->s, &k->loop, &k->port), 0);
}

static inline void kit_close(struct kit *k)
{
    if (k->port)
        spool_port_close(k->port, NULL, NULL);
    k->port = NULL;
    assert_int_equal(uv_run(&k->loop, UV_RUN_DEFAULT), 0);
    spool_close(k->s);
    k->s = NULL;
}

static inline void kit_reopen(struct kit *k)
{
    kit_close(k);
    kit_open(k);
}

static inline void kit_done(struct kit *k)
{
    kit_close(k);
    assert_int_equal(uv_loop_close(&k->loop), 0);
    kit_remove_tree(k->dir);
}

/* ---- records */

enum { KIT_RECEIVED_US = 1700000000 }; /* seconds; any day */

static inline size_t kit_payload(uint64_t seq, size_t bytes, char *dst)
{
    for (size_t i = 0; i < bytes; i++)
        dst[i] = (char)(seq * 31 + i * 7);
    return bytes;
}

/* A record number `seq`; its payload is written to `payload` and has `bytes` bytes. */
static inline struct spool_record kit_record(uint64_t seq, size_t bytes, char *payload)
{
    struct spool_record r = {
        .project_id = seq,
        .received_us = INT64_C(1000000) * KIT_RECEIVED_US,
        .sent_at_us = (int64_t)seq,
        .kind = SPOOL_EVENT,
        .meta = STR("{\"sdk\":{}}"),
    };
    memcpy(r.id.b, &seq, sizeof seq);
    memcpy(r.event_id.b + 8, &seq, sizeof seq);
    memcpy(r.addr, &seq, sizeof seq);
    r.payload = str_of(payload, kit_payload(seq, bytes, payload));
    return r;
}

/* Bytes that the record takes on disk. */
static inline uint64_t kit_record_bytes(size_t payload_bytes)
{
    return (KIT_RECORD_HEAD + STR("{\"sdk\":{}}").n + payload_bytes + 7) & ~UINT64_C(7);
}

static inline void kit_check(const struct spool_record *r)
{
    AUTO_FREE char *payload = malloc(r->payload.n + 1);
    struct spool_record want = kit_record(r->project_id, r->payload.n, payload);
    assert_true(id_eq(&r->id, &want.id));
    assert_true(id_eq(&r->event_id, &want.event_id));
    assert_memory_equal(r->addr, want.addr, sizeof want.addr);
    assert_true(r->sent_at_us == want.sent_at_us && r->kind == want.kind);
    assert_true(str_eq(r->meta, want.meta));
    assert_true(str_eq(r->payload, want.payload));
}

/* ---- appending one and waiting for its answer */

struct kit_append {
    struct spool_append a;
    int result;
    unsigned n_done;
};

static inline void kit_append_done(struct spool_append *a, int r)
{
    struct kit_append *ka = container_of(a, struct kit_append, a);
    ka->result = r;
    ka->n_done++;
}

static inline int kit_append_start(struct kit *k, struct kit_append *ka, uint64_t seq, size_t bytes)
{
    AUTO_FREE char *payload = malloc(bytes + 1);
    struct spool_record r = kit_record(seq, bytes, payload);
    *ka = (struct kit_append){.a.done = kit_append_done, .result = 1};
    return spool_append(k->port, &ka->a, &r, 1);
}

static inline int kit_append_records(struct kit *k, const struct spool_record *records, unsigned n)
{
    struct kit_append ka = {.a.done = kit_append_done, .result = 1};
    int r = spool_append(k->port, &ka.a, records, n);
    while (r == 0 && ka.n_done == 0)
        (void)uv_run(&k->loop, UV_RUN_ONCE);
    return r < 0 ? r : ka.result;
}

static inline int kit_append(struct kit *k, uint64_t seq, size_t bytes)
{
    AUTO_FREE char *payload = malloc(bytes + 1);
    struct spool_record r = kit_record(seq, bytes, payload);
    return kit_append_records(k, &r, 1);
}

static inline void kit_append_many(struct kit *k, uint64_t first, unsigned n, size_t bytes)
{
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(kit_append(k, first + i, bytes), 0);
}

/* ---- digesting */

enum { KIT_SEEN_MAX = 1 << 17 };
struct kit_seen {
    uint32_t count[KIT_SEEN_MAX]; /* by number */
    unsigned n_records;
};

static inline void kit_note(struct kit_seen *seen, const struct spool_record *records, int n)
{
    for (int i = 0; i < n; i++) {
        kit_check(&records[i]);
        assert_true(records[i].project_id < KIT_SEEN_MAX);
        seen->count[records[i].project_id]++;
        seen->n_records++;
    }
}

/* Claims and reads one range into `seen`. False: nothing there. */
static inline bool kit_claim(struct kit *k, unsigned max_records, struct kit_seen *seen, struct spool_range *range)
{
    AUTO_BUF struct buf buf = {0};
    int r = spool_claim(k->s, max_records, 1 << 20, range);
    assert_in_range(r, 0, 1);
    if (r == 0)
        return false;
    assert_in_range(range->n_records, 1, max_records);
    AUTO_FREE struct spool_record *records = calloc(range->n_records, sizeof *records);
    unsigned left = range->n_records;
    assert_int_equal(spool_heads(k->s, range, records), range->n_records);
    for (uint64_t at = range->from; at < range->to;) {
        int n =
            k->part_bytes ? spool_read_part(k->s, range, &at, k->part_bytes, &buf, records, left) : spool_read(k->s, range, &buf, records);
        assert_in_range(n, 0, left);
        left -= (unsigned)n;
        kit_note(seen, records, n);
        if (!k->part_bytes)
            break;
    }
    return true;
}

static inline struct kit_seen *kit_seen_new(void)
{
    struct kit_seen *seen = calloc(1, sizeof *seen);
    assert_non_null(seen);
    return seen;
}

/* Claims, reads and settles all that is there; the caller frees. */
static inline struct kit_seen *kit_drain(struct kit *k)
{
    struct kit_seen *seen = kit_seen_new();
    struct spool_range range;
    while (kit_claim(k, 100, seen, &range))
        spool_settle(k->s, &range);
    return seen;
}

/* Numbers first … first + n - 1 once each and nothing else. */
static inline void kit_expect(const struct kit_seen *seen, uint64_t first, unsigned n)
{
    for (uint64_t i = first; i < first + n; i++)
        if (seen->count[i] != 1)
            fail_msg("record %" PRIu64 " seen %u times", i, seen->count[i]);
    assert_int_equal(seen->n_records, n);
}

static inline struct spool_stats kit_stats(struct kit *k)
{
    struct spool_stats st;
    spool_stats(k->s, &st);
    return st;
}

/* Waits (up to 10 s) until `done` holds: for what the keeper does on its own thread. */
static inline void kit_wait(struct kit *k, bool (*done)(struct kit *k))
{
    int64_t until = clock_mono_us() + 10 * CLOCK_US_PER_S;
    while (!done(k)) {
        if (clock_mono_us() > until)
            fail_msg("waited for 10 s in vain");
        (void)sched_yield();
    }
}

/* ---- a segment to be damaged */

enum { KIT_N_SMALL = 6, KIT_BLOCK = 4096 };

/* A stopped spool with one segment: its path and bytes, its end, and where each record begins. */
struct kit_image {
    char path[KIT_PATH_MAX];
    struct buf file;
    uint64_t end;
    uint64_t starts[1024];
    unsigned n;
};

static inline size_t kit_small_bytes(unsigned i)
{
    return i * 11; /* every remainder of 8 */
}

static inline void kit_image_take(struct kit *k, struct kit_image *im, unsigned n, size_t (*bytes_of)(unsigned i))
{
    uint64_t at = KIT_SEGMENT_HEAD;
    *im = (struct kit_image){.n = n};
    for (unsigned i = 0; i < n; i++) {
        im->starts[i] = at;
        at += kit_record_bytes(bytes_of(i));
        assert_int_equal(kit_append(k, i, bytes_of(i)), 0);
    }
    im->end = at;
    assert_int_equal(kit_stats(k).synced.offset, at);
    kit_close(k);
    assert_int_equal(kit_segments(k, im->path), 1);
    im->file = kit_file_read(im->path);
    assert_int_equal(im->file.n, at + KIT_RECORD_HEAD); /* the trailer */
}

/* A directory as it was, but with these bytes as its only segment. */
static inline void kit_image_put(struct kit *k, const struct kit_image *im, const char *p, size_t n)
{
    char path[KIT_PATH_MAX];
    kit_cursors_remove(k);
    kit_path(k, "quarantine", path);
    kit_remove_tree(path);
    kit_file_write(im->path, p, n);
}
