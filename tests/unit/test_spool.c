/* test_spool.c: appending, claiming and settling in a spool that nothing goes wrong in (architecture, "Spool"; invariants S1, S2, S3, S6).
 * Damage and restarts are in test_spool_recovery.c, failing disks in test_spool_fault.c, threads in test_spool_threads.c. */
#include "spool_kit.h"

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { BIG = 8 * 1024 * 1024 };

/* This program's own, which the spool calls in place of the C library's: it waits while a test holds it. */
static atomic_bool syncs_held;

int fdatasync(int fd)
{
    while (atomic_load(&syncs_held))
        (void)sched_yield();
    return (int)syscall(SYS_fdatasync, fd);
}

static int setup(void **state)
{
    struct kit *k = malloc(sizeof *k);
    kit_init(k);
    kit_open(k);
    *state = k;
    return 0;
}

static int teardown(void **state)
{
    kit_done(*state);
    free(*state);
    return 0;
}

/* The spool again, with other limits. */
static void reopen_with(struct kit *k, uint64_t segment_bytes, uint64_t max_bytes, uint64_t max_pending_bytes)
{
    kit_close(k);
    k->config.segment_bytes = segment_bytes;
    k->config.max_bytes = max_bytes;
    k->config.max_pending_bytes = max_pending_bytes;
    kit_open(k);
}

/* ---- appending */

static void hands_out_what_was_appended(void **state)
{
    struct kit *k = *state;
    kit_append_many(k, 1, 300, 500);
    AUTO_FREE struct kit_seen *seen = kit_drain(k);
    kit_expect(seen, 1, 300);
    assert_int_equal(kit_stats(k).bytes, 0);
    assert_int_equal(kit_stats(k).records_appended, 300);
}

static void takes_every_size_up_to_the_limit(void **state)
{
    struct kit *k = *state;
    size_t overhead = KIT_RECORD_HEAD + STR("{\"sdk\":{}}").n;
    for (uint64_t bytes = 0; bytes < 40; bytes++)
        assert_int_equal(kit_append(k, bytes, bytes), 0);
    assert_int_equal(kit_append(k, 40, BIG - overhead), 0);
    assert_int_equal(kit_append(k, 41, BIG - overhead + 1), -ERR_TOO_LARGE);
    AUTO_FREE struct kit_seen *seen = kit_drain(k);
    kit_expect(seen, 0, 41);
}

static void takes_a_record_without_meta_and_payload(void **state)
{
    struct kit *k = *state;
    struct spool_record empty = {.project_id = 7, .kind = SPOOL_EVENT}, got;
    struct spool_range range;
    AUTO_BUF struct buf buf = {0};
    assert_int_equal(kit_append_records(k, &empty, 0), -ERR_TOO_LARGE);
    assert_int_equal(kit_append_records(k, &empty, 1), 0);
    assert_int_equal(spool_claim(k->s, 1, 1, &range), 1);
    assert_int_equal(spool_read(k->s, &range, &buf, &got), 1);
    assert_true(got.project_id == 7 && got.meta.n == 0 && got.payload.n == 0 && id_is_nil(&got.id));
}

static void s3_answers_when_the_synced_position_has_passed(void **state)
{
    struct kit *k = *state;
    uint64_t end = KIT_SEGMENT_HEAD;
    for (uint64_t i = 0; i < 50; i++) {
        assert_int_equal(kit_append(k, i, 100 + i), 0);
        end += kit_record_bytes(100 + i);
        assert_int_equal(kit_stats(k).synced.offset, end);
        assert_int_equal(kit_stats(k).syncs, i + 1);
    }
}

static void one_sync_serves_all_that_arrived_meanwhile(void **state)
{
    struct kit *k = *state;
    enum { N = 2000 };
    struct kit_append *appends = calloc(N, sizeof *appends);
    assert_int_equal(kit_append(k, N, 200), 0); /* the segment is there, with what was synced to make it */
    uint64_t before = kit_stats(k).syncs;
    atomic_store(&syncs_held, true);
    for (unsigned i = 0; i < N; i++)
        assert_int_equal(kit_append_start(k, &appends[i], i, 200), 0);
    for (int i = 0; i < 10; i++)
        (void)uv_run(&k->loop, UV_RUN_NOWAIT);
    for (unsigned i = 0; i < N; i++)
        assert_int_equal(appends[i].n_done, 0);
    atomic_store(&syncs_held, false);
    while (appends[N - 1].n_done == 0)
        (void)uv_run(&k->loop, UV_RUN_ONCE);
    for (unsigned i = 0; i < N; i++)
        assert_true(appends[i].n_done == 1 && appends[i].result == 0);
    assert_in_range(kit_stats(k).syncs, before + 1, before + 2); /* what the first came too early for, in one more */
    free(appends);
}

static void s1_bytes_below_the_end_never_change(void **state)
{
    struct kit *k = *state;
    char path[KIT_PATH_MAX];
    kit_append_many(k, 0, 20, 300);
    assert_int_equal(kit_segments(k, path), 1);
    size_t end = kit_stats(k).synced.offset;
    AUTO_BUF struct buf before = kit_file_read(path);
    kit_append_many(k, 20, 20, 300);
    kit_reopen(k); /* a trailer now, and then a recovery */
    kit_append_many(k, 40, 20, 300);
    AUTO_BUF struct buf after = kit_file_read(path);
    assert_true(before.n >= end && after.n > end);
    assert_memory_equal(before.p, after.p, end);
}

/* The header is there, complete, whenever a record is; test_spool_fault.c fails each step on the way. */
static void s2_a_segment_has_its_header_and_name_first(void **state)
{
    struct kit *k = *state;
    char path[KIT_PATH_MAX];
    assert_int_equal(kit_segments(k, NULL), 0);
    kit_append_many(k, 0, 1, 10);
    assert_int_equal(kit_segments(k, path), 1);
    AUTO_BUF struct buf file = kit_file_read(path);
    uint64_t number, named = kit_stats(k).synced.segment;
    struct id128 node = spool_node(k->s);
    memcpy(&number, file.p + 16, sizeof number);
    assert_true(number == named);
    assert_memory_equal(file.p + 32, &node, sizeof node);
}

static void keeps_an_envelopes_records_in_one_segment(void **state)
{
    struct kit *k = *state;
    char payload[4][600];
    struct spool_record records[4];
    struct spool_range range;
    reopen_with(k, 1000, 1 << 20, 1 << 20);
    for (uint64_t i = 0; i < 40; i += 4) {
        for (uint64_t j = 0; j < 4; j++)
            records[j] = kit_record(i + j, 600, payload[j]);
        assert_int_equal(kit_append_records(k, records, 4), 0);
    }
    AUTO_FREE struct kit_seen *seen = kit_seen_new();
    while (kit_claim(k, 100, seen, &range)) {
        assert_int_equal(range.n_records, 4); /* past 1000 bytes: the next envelope begins another */
        spool_settle(k->s, &range);
    }
    kit_expect(seen, 0, 40);
}

/* ---- limits */

static void refuses_beyond_max_bytes_until_something_is_digested(void **state)
{
    struct kit *k = *state;
    uint64_t one = kit_record_bytes(1000);
    reopen_with(k, 1 << 20, 10 * one, 1 << 20);
    kit_append_many(k, 0, 10, 1000);
    assert_int_equal(kit_append(k, 10, 1000), -ERR_SPOOL_FULL);
    assert_int_equal(kit_append(k, 10, 0), -ERR_SPOOL_FULL);
    assert_int_equal(kit_stats(k).refused, 2);
    assert_int_equal(kit_stats(k).bytes, 10 * one);
    struct spool_range range;
    assert_int_equal(spool_claim(k->s, 1, 1, &range), 1);
    assert_int_equal(kit_append(k, 10, 1000), -ERR_SPOOL_FULL);
    spool_settle(k->s, &range);
    assert_int_equal(kit_append(k, 10, 1000), 0);
    kit_reopen(k); /* counts what is on disk */
    assert_int_equal(kit_stats(k).bytes, 10 * one);
    assert_int_equal(kit_append(k, 11, 0), -ERR_SPOOL_FULL);
}

/* The second append comes within microseconds of the first, which takes a write and a sync: that it is done by then is rare enough to
 * try again. */
static void refuses_beyond_max_pending_bytes(void **state)
{
    struct kit *k = *state;
    enum { BYTES = 3 << 20 };
    AUTO_FREE char *payload = malloc(BYTES);
    struct spool_record record = kit_record(1, BYTES, payload);
    uint64_t refused = 0;
    reopen_with(k, 1 << 20, 1 << 30, kit_record_bytes(BYTES));
    assert_int_equal(kit_append(k, 0, BYTES + 8), -ERR_TOO_LARGE); /* it could never be queued */
    for (int i = 0; i < 50 && refused == 0; i++) {
        struct kit_append first = {.a.done = kit_append_done}, second = first;
        assert_int_equal(spool_append(k->port, &first.a, &record, 1), 0);
        int r = spool_append(k->port, &second.a, &record, 1);
        while (first.n_done == 0 || (r == 0 && second.n_done == 0))
            (void)uv_run(&k->loop, UV_RUN_ONCE);
        assert_true(r == 0 || r == -ERR_SPOOL_FULL);
        refused += r < 0;
    }
    assert_int_equal(refused, 1);
    assert_int_equal(kit_stats(k).refused, refused);
    assert_int_equal(kit_append_records(k, &record, 1), 0);
}

static void refuses_below_the_free_floor(void **state)
{
    struct kit *k = *state;
    kit_close(k);
    k->config.free_floor_bytes = UINT64_C(1) << 60;
    kit_open(k);
    assert_int_equal(kit_append(k, 0, 10), -ERR_SPOOL_FULL);
    kit_close(k);
    k->config.free_floor_bytes = 1;
    kit_open(k);
    assert_int_equal(kit_append(k, 0, 10), 0);
}

/* A real refusal of the kernel, halfway through a write: the file may not grow past the process's limit. */
static void s5_a_write_that_stops_halfway_seals_the_segment(void **state)
{
    struct kit *k = *state;
    struct rlimit before, small = {.rlim_cur = 10000};
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small.rlim_max = before.rlim_max;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    kit_append_many(k, 0, 3, 3000);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int r = kit_append(k, 1000, 3000);
    int again = kit_append(k, 3, 3000); /* in a new segment, where there is room */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, handler);
    assert_int_equal(r, -ERR_SPOOL_SEALED);
    assert_int_equal(again, 0);
    assert_int_equal(kit_stats(k).seals, 1);
    assert_int_equal(kit_stats(k).last_error, -EFBIG);
    AUTO_FREE struct kit_seen *seen = kit_drain(k);
    kit_expect(seen, 0, 4);
}

/* An open file goes on taking bytes after its name is gone; they would be lost, so nobody is told that they are safe. */
static void s3_nothing_is_acknowledged_into_a_removed_file(void **state)
{
    struct kit *k = *state;
    char path[KIT_PATH_MAX];
    kit_append_many(k, 0, 3, 100);
    (void)kit_segments(k, path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(kit_append(k, 1000, 100), -ERR_SPOOL_SEALED);
    assert_int_equal(kit_append(k, 3, 100), 0);
    kit_remove_tree(k->spool_dir);
    assert_int_equal(kit_append(k, 1000, 100), -ERR_SPOOL_SEALED);
    assert_int_equal(kit_append(k, 1000, 100), -ERR_SPOOL_SEALED);
    kit_reopen(k);
    assert_int_equal(kit_append(k, 4, 100), 0);
    AUTO_FREE struct kit_seen *seen = kit_drain(k);
    kit_expect(seen, 4, 1);
}

/* ---- claiming */

static void claims_in_order_within_its_bounds(void **state)
{
    struct kit *k = *state;
    struct spool_range a, b, c, d;
    uint64_t one = kit_record_bytes(1000);
    assert_int_equal(spool_claim(k->s, 10, 1 << 20, &a), 0);
    kit_append_many(k, 0, 10, 1000);
    assert_int_equal(spool_claim(k->s, 3, 1 << 20, &a), 1);
    assert_true(a.n_records == 3 && a.from == KIT_SEGMENT_HEAD && a.to == a.from + 3 * one);
    assert_int_equal(spool_claim(k->s, 10, 2 * one, &b), 1);
    assert_true(b.n_records == 2 && b.from == a.to && b.to == b.from + 2 * one);
    assert_int_equal(spool_claim(k->s, 10, 1, &c), 1); /* at least one */
    assert_true(c.n_records == 1 && c.from == b.to && c.segment == a.segment);
    assert_int_equal(spool_claim(k->s, 10, 1 << 20, &d), 1);
    assert_true(d.n_records == 4 && d.from == c.to);
    assert_int_equal(spool_claim(k->s, 10, 1 << 20, &a), 0);
}

static void does_not_claim_across_the_hour(void **state)
{
    struct kit *k = *state;
    static const int64_t HOUR = INT64_C(3600000000);
    const int64_t hours[][2] = {/* received, records expected in its range */
                                {-HOUR - 1, 1}, {-HOUR, 2}, {-1, 0}, {0, 2}, {HOUR - 1, 0}, {HOUR, 1}, {0, 1}, {HOUR * 480000, 1}};
    struct spool_range range;
    for (size_t i = 0; i < ARRAY_LEN(hours); i++) {
        struct spool_record r = {.project_id = i, .received_us = hours[i][0], .kind = SPOOL_EVENT};
        assert_int_equal(kit_append_records(k, &r, 1), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(hours); i++) {
        if (hours[i][1] == 0)
            continue;
        assert_int_equal(spool_claim(k->s, 100, 1 << 20, &range), 1);
        if ((int64_t)range.n_records != hours[i][1])
            fail_msg("range of record %zu has %u records", i, range.n_records);
    }
    assert_int_equal(spool_claim(k->s, 100, 1 << 20, &range), 0);
}

static void does_not_claim_across_a_segments_end(void **state)
{
    struct kit *k = *state;
    uint64_t one = kit_record_bytes(100), last = 0;
    struct spool_range range;
    reopen_with(k, KIT_SEGMENT_HEAD + 4 * one, 1 << 20, 1 << 20);
    kit_append_many(k, 0, 12, 100);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(spool_claim(k->s, 100, 1 << 20, &range), 1);
        assert_true(range.n_records == 4 && range.segment > last && range.from == KIT_SEGMENT_HEAD);
        last = range.segment;
    }
    assert_int_equal(spool_claim(k->s, 100, 1 << 20, &range), 0);
}

static void s6_the_cursor_waits_for_the_first_unsettled_range(void **state)
{
    struct kit *k = *state;
    struct spool_range r[4];
    kit_append_many(k, 0, 40, 100);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(spool_claim(k->s, 10, 1 << 20, &r[i]), 1);
    assert_int_equal(kit_stats(k).cursor.offset, r[0].from);
    spool_settle(k->s, &r[3]);
    spool_settle(k->s, &r[1]);
    assert_int_equal(kit_stats(k).cursor.offset, r[0].from);
    spool_settle(k->s, &r[0]);
    assert_int_equal(kit_stats(k).cursor.offset, r[2].from);
    spool_release(k->s, &r[2]);
    assert_int_equal(kit_stats(k).cursor.offset, r[2].from);
    assert_int_equal(spool_claim(k->s, 10, 1 << 20, &r[2]), 1);
    spool_settle(k->s, &r[2]);
    assert_int_equal(kit_stats(k).cursor.offset, r[3].to);
    assert_int_equal(kit_stats(k).bytes, 0);
}

static void s6_what_was_not_settled_comes_again_after_a_restart(void **state)
{
    struct kit *k = *state;
    struct spool_range r[3];
    kit_append_many(k, 0, 30, 100);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(spool_claim(k->s, 10, 1 << 20, &r[i]), 1);
    spool_settle(k->s, &r[0]);
    spool_settle(k->s, &r[2]); /* beyond the cursor: forgotten unless the caller skips it */
    kit_reopen(k);
    assert_int_equal(kit_stats(k).cursor.offset, r[1].from);
    AUTO_FREE struct kit_seen *seen = kit_drain(k);
    kit_expect(seen, 10, 20);
}

static void hands_out_released_ranges_first(void **state)
{
    struct kit *k = *state;
    struct spool_range a, b, c;
    kit_append_many(k, 0, 30, 100);
    assert_int_equal(spool_claim(k->s, 10, 1 << 20, &a), 1);
    assert_int_equal(spool_claim(k->s, 10, 1 << 20, &b), 1);
    spool_release(k->s, &b);
    spool_release(k->s, &a);
    assert_int_equal(spool_claim(k->s, 10, 1 << 20, &c), 1);
    assert_true(c.from == a.from && c.to == a.to && c.n_records == 10);
    spool_release(k->s, &c);
    AUTO_FREE struct kit_seen *seen = kit_seen_new(); /* by a caller that takes fewer at a time */
    while (kit_claim(k, 3, seen, &c))
        spool_settle(k->s, &c);
    kit_expect(seen, 0, 30);
    assert_int_equal(kit_stats(k).bytes, 0);
}

static void skips_what_an_earlier_run_committed(void **state)
{
    struct kit *k = *state;
    struct spool_range r[5];
    kit_append_many(k, 0, 50, 100);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(spool_claim(k->s, 10, 1 << 20, &r[i]), 1);
    spool_settle(k->s, &r[0]);
    kit_reopen(k);
    spool_skip(k->s, &r[0]); /* known already */
    spool_skip(k->s, &r[4]);
    spool_skip(k->s, &r[2]);
    AUTO_FREE struct kit_seen *seen = kit_drain(k);
    assert_int_equal(seen->n_records, 20);
    for (uint64_t i = 10; i < 20; i++)
        assert_true(seen->count[i] == 1 && seen->count[i + 20] == 1);
    assert_int_equal(kit_stats(k).bytes, 0);
    kit_append_many(k, 50, 10, 100);
    AUTO_FREE struct kit_seen *more = kit_drain(k);
    kit_expect(more, 50, 10);
}

static void skips_all_that_is_there(void **state)
{
    struct kit *k = *state;
    struct spool_range range;
    kit_append_many(k, 0, 10, 100);
    assert_int_equal(spool_claim(k->s, 10, 1 << 20, &range), 1);
    kit_reopen(k);
    spool_skip(k->s, &range);
    assert_int_equal(kit_stats(k).bytes, 0);
    assert_int_equal(spool_claim(k->s, 10, 1 << 20, &range), 0);
}

static bool one_segment_left(struct kit *k)
{
    return kit_segments(k, NULL) == 1;
}

static void removes_segments_that_the_cursor_has_passed(void **state)
{
    struct kit *k = *state;
    struct spool_range range;
    uint64_t one = kit_record_bytes(1000);
    reopen_with(k, KIT_SEGMENT_HEAD + 5 * one, 1 << 20, 1 << 20);
    kit_append_many(k, 0, 47, 1000);
    assert_int_equal(kit_segments(k, NULL), 10);
    assert_int_equal(spool_claim(k->s, 5, 1 << 20, &range), 1);
    AUTO_FREE struct kit_seen *seen = kit_drain(k);
    kit_expect(seen, 5, 42);
    assert_int_equal(kit_segments(k, NULL), 10); /* the first range holds them all */
    spool_settle(k->s, &range);
    kit_wait(k, one_segment_left);
    kit_append_many(k, 47, 10, 1000);
    AUTO_FREE struct kit_seen *more = kit_drain(k);
    kit_expect(more, 47, 10);
}

/* ---- S7: what is settled does not stay */

static void reopen_aging(struct kit *k, int64_t segment_us)
{
    kit_close(k);
    k->config.segment_us = segment_us;
    kit_open(k);
}

static bool no_segment_left(struct kit *k)
{
    return kit_segments(k, NULL) == 0;
}

/* The second one is of the next append's segment. */
static void s7_an_old_segment_takes_no_more(void **state)
{
    struct kit *k = *state;
    reopen_aging(k, 1);
    kit_append_many(k, 0, 10, 100);
    assert_int_equal(kit_segments(k, NULL), 10);
    uint64_t last = kit_stats(k).synced.segment;
    AUTO_FREE struct kit_seen *seen = kit_drain(k);
    kit_expect(seen, 0, 10);
    kit_wait(k, no_segment_left);
    kit_append_many(k, 10, 1, 100);
    assert_true(kit_stats(k).synced.segment > last);
    AUTO_FREE struct kit_seen *more = kit_drain(k);
    kit_expect(more, 10, 1);
    assert_int_equal(kit_stats(k).bytes, 0);
}

static bool is_finished(struct kit *k)
{
    char path[KIT_PATH_MAX];
    struct stat st;
    return kit_segments(k, path) == 1 && stat(path, &st) == 0 && (uint64_t)st.st_size == kit_stats(k).synced.offset + KIT_RECORD_HEAD;
}

/* Nothing is appended any more. The segment ends, and goes when its last record is settled and not before; then not even a disk that loses both
 * cursors brings it back. */
static void s7_a_quiet_spool_keeps_nothing_that_is_settled(void **state)
{
    struct kit *k = *state;
    struct spool_range first, rest;
    reopen_aging(k, 200 * 1000);
    kit_append_many(k, 0, 10, 100);
    assert_int_equal(spool_claim(k->s, 3, 1 << 20, &first), 1);
    assert_int_equal(spool_claim(k->s, 10, 1 << 20, &rest), 1);
    spool_settle(k->s, &rest);
    kit_wait(k, is_finished);
    assert_int_equal(kit_segments(k, NULL), 1);
    spool_settle(k->s, &first);
    kit_wait(k, no_segment_left);
    kit_close(k);
    kit_cursors_remove(k);
    kit_open(k);
    AUTO_FREE struct kit_seen *seen = kit_drain(k);
    kit_expect(seen, 0, 0);
    kit_append_many(k, 10, 10, 100);
    AUTO_FREE struct kit_seen *more = kit_drain(k);
    kit_expect(more, 10, 10);
}

/* One that an earlier process left, settled to its end, does not wait for records either; it has its time from the start. */
static void s7_a_segment_of_an_earlier_process_goes(void **state)
{
    struct kit *k = *state;
    kit_append_many(k, 0, 10, 100);
    AUTO_FREE struct kit_seen *seen = kit_drain(k);
    kit_expect(seen, 0, 10);
    kit_reopen(k);
    assert_int_equal(kit_segments(k, NULL), 1);
    reopen_aging(k, 100 * 1000);
    kit_wait(k, no_segment_left);
}

static bool cursor_is_kept(struct kit *k)
{
    char path[KIT_PATH_MAX];
    struct spool_pos at = kit_stats(k).cursor;
    kit_path(k, "cursor.kept", path);
    if (at.offset == 0 || access(path, F_OK) < 0)
        return false;
    AUTO_BUF struct buf file = kit_file_read(path);
    return file.n == 32 && memcmp(file.p + 8, &at, sizeof at) == 0;
}

/* While the rest is not settled and the segment stays. */
static void s7_the_cursor_is_made_to_last_in_passing(void **state)
{
    struct kit *k = *state;
    struct spool_range range;
    reopen_aging(k, 300 * 1000);
    kit_append_many(k, 0, 10, 100);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(spool_claim(k->s, 3, 1 << 20, &range), 1);
        spool_settle(k->s, &range);
        assert_true(kit_stats(k).cursor.offset == range.to);
        kit_wait(k, cursor_is_kept);
    }
    assert_int_equal(kit_segments(k, NULL), 1);
}

/* ---- cancelling and closing */

static void a_cancelled_append_is_written_but_not_answered(void **state)
{
    struct kit *k = *state;
    struct kit_append a, b;
    assert_int_equal(kit_append_start(k, &a, 0, 100), 0);
    assert_int_equal(kit_append_start(k, &b, 1, 100), 0);
    spool_append_cancel(&a.a);
    spool_append_cancel(&a.a);
    while (b.n_done == 0)
        (void)uv_run(&k->loop, UV_RUN_ONCE);
    spool_append_cancel(&b.a);
    assert_int_equal(a.n_done, 0);
    AUTO_FREE struct kit_seen *seen = kit_drain(k);
    kit_expect(seen, 0, 2);
}

static void count_call(void *arg)
{
    ++*(unsigned *)arg;
}

static void closing_a_port_answers_first(void **state)
{
    struct kit *k = *state;
    struct kit_append appends[50], late;
    unsigned closed = 0;
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(kit_append_start(k, &appends[i], i, 1000), 0);
    spool_port_close(k->port, count_call, &closed);
    assert_int_equal(kit_append_start(k, &late, 50, 1000), -ERR_SPOOL_CLOSED);
    k->port = NULL;
    assert_int_equal(closed, 0);
    assert_int_equal(uv_run(&k->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(closed, 1);
    for (unsigned i = 0; i < 50; i++)
        assert_true(appends[i].n_done == 1 && appends[i].result == 0);
}

static void wakes_claimers(void **state)
{
    struct kit *k = *state;
    unsigned wakes = 0;
    spool_on_durable(k->s, count_call, &wakes);
    kit_append_many(k, 0, 3, 10);
    spool_on_durable(k->s, NULL, NULL); /* afterwards it does not run any more; the third may come after its answer */
    assert_in_range(wakes, 2, 3);
    unsigned before = wakes;
    kit_append_many(k, 3, 3, 10);
    assert_int_equal(wakes, before);
}

static void a_second_opener_is_locked_out(void **state)
{
    struct kit *k = *state;
    struct spool *second;
    assert_int_equal(spool_open(&k->config, &second, NULL), -ERR_SPOOL_LOCKED);
    kit_append_many(k, 0, 3, 10);
    kit_close(k);
    assert_int_equal(spool_open(&k->config, &second, NULL), 0);
    spool_close(second);
    kit_open(k);
    AUTO_FREE struct kit_seen *seen = kit_drain(k);
    kit_expect(seen, 0, 3);
}

static void reports_a_directory_that_cannot_be_made(void **state)
{
    struct kit *k = *state;
    struct spool *s;
    char path[KIT_PATH_MAX];
    struct spool_config config = k->config;
    config.dir = path;
    kit_path(k, "missing/spool", path);
    assert_int_equal(spool_open(&config, &s, NULL), -ENOENT);
    kit_path(k, "node", path);
    assert_int_equal(spool_open(&config, &s, NULL), -ENOTDIR);
}

/* How long ago what is not settled was written, at most; of what an earlier process left behind nobody knows. */
static void the_age_of_what_is_not_settled(void **state)
{
    struct kit *k = *state;
    struct spool_range first, second;
    AUTO_FREE struct kit_seen *seen = kit_seen_new();
    int64_t began_us = clock_wall_us();
    assert_true(spool_oldest_us(k->s) >= began_us); /* there is none */
    kit_append_many(k, 0, 2, 10);
    assert_in_range(spool_oldest_us(k->s), began_us, clock_wall_us());
    kit_reopen(k);
    assert_int_equal(spool_oldest_us(k->s), SPOOL_AGE_UNKNOWN);
    int64_t again_us = clock_wall_us();
    kit_append_many(k, 2, 2, 10);
    assert_true(kit_claim(k, 1, seen, &first));
    spool_settle(k->s, &first);
    assert_int_equal(spool_oldest_us(k->s), SPOOL_AGE_UNKNOWN); /* one of the two is left */
    assert_true(kit_claim(k, 1, seen, &second));
    spool_settle(k->s, &second);
    assert_true(spool_oldest_us(k->s) > SPOOL_AGE_UNKNOWN);
    assert_true(spool_oldest_us(k->s) <= again_us);
    free(kit_drain(k));
    assert_true(spool_oldest_us(k->s) >= again_us);
}

/* ---- the spare */

static off_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_size : -1;
}

/* The next segment is filled ahead, a step at a time, and taken when this one is full. */
static void fills_a_spare_while_little_comes(void **state)
{
    enum { SEGMENT = 8 << 20, WAIT_US = 20 * 1000 * 1000 };
    const struct timespec pause = {.tv_nsec = 5 * 1000 * 1000}; /* without it a fast disk takes enough to fill the segment */
    struct kit *k = *state;
    char spare[KIT_PATH_MAX], last[KIT_PATH_MAX];
    reopen_with(k, SEGMENT, 1 << 30, 1 << 26);
    kit_path(k, "spare", spare);
    assert_int_equal(kit_append(k, 1, 100), 0);
    assert_int_equal(size_of(spare), -1); /* an idle server has none */
    assert_int_equal(kit_append(k, 2, SEGMENT * 3 / 8), 0);
    int64_t until_us = clock_mono_us() + WAIT_US;
    for (off_t size = 0; size < SEGMENT;) {
        assert_true(clock_mono_us() < until_us);
        assert_int_equal(kit_append(k, 3, 100), 0);
        (void)nanosleep(&pause, NULL);
        size = size_of(spare);
        assert_true(size <= SEGMENT && kit_segments(k, last) == 1);
    }
    for (unsigned i = 0; kit_segments(k, last) == 1 || size_of(last) != SEGMENT; i++) {
        assert_true(i < 32); /* not the next one yet, if the last step is still being synced */
        assert_int_equal(kit_append(k, 4, SEGMENT / 4), 0);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_age_of_what_is_not_settled),
        CASE(hands_out_what_was_appended),
        CASE(takes_every_size_up_to_the_limit),
        CASE(takes_a_record_without_meta_and_payload),
        CASE(s3_answers_when_the_synced_position_has_passed),
        CASE(one_sync_serves_all_that_arrived_meanwhile),
        CASE(s1_bytes_below_the_end_never_change),
        CASE(s2_a_segment_has_its_header_and_name_first),
        CASE(keeps_an_envelopes_records_in_one_segment),
        CASE(refuses_beyond_max_bytes_until_something_is_digested),
        CASE(refuses_beyond_max_pending_bytes),
        CASE(refuses_below_the_free_floor),
        CASE(s5_a_write_that_stops_halfway_seals_the_segment),
        CASE(s3_nothing_is_acknowledged_into_a_removed_file),
        CASE(claims_in_order_within_its_bounds),
        CASE(does_not_claim_across_the_hour),
        CASE(does_not_claim_across_a_segments_end),
        CASE(s6_the_cursor_waits_for_the_first_unsettled_range),
        CASE(s6_what_was_not_settled_comes_again_after_a_restart),
        CASE(hands_out_released_ranges_first),
        CASE(skips_what_an_earlier_run_committed),
        CASE(skips_all_that_is_there),
        CASE(removes_segments_that_the_cursor_has_passed),
        CASE(s7_an_old_segment_takes_no_more),
        CASE(s7_a_quiet_spool_keeps_nothing_that_is_settled),
        CASE(s7_a_segment_of_an_earlier_process_goes),
        CASE(s7_the_cursor_is_made_to_last_in_passing),
        CASE(fills_a_spare_while_little_comes),
        CASE(a_cancelled_append_is_written_but_not_answered),
        CASE(closing_a_port_answers_first),
        CASE(wakes_claimers),
        CASE(a_second_opener_is_locked_out),
        CASE(reports_a_directory_that_cannot_be_made),
    };
    return cmocka_run_group_tests_name("spool", tests, NULL, NULL);
}
