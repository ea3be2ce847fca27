/* test_spool_recovery.c: what a start makes of what it finds: lost files, a killed process, a cut of power (architecture, "Spool"; invariants
 * S1, S3, S6). */
#include "spool_kit.h"

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

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

/* ---- lost or odd files */

static void everything_comes_again_without_a_cursor(void **state)
{
    struct kit *k = *state;
    char path[KIT_PATH_MAX];
    static const char *const contents[] = {NULL, "", "garbage", "garbagegarbagegarbagegarbagegarbage"};
    kit_append_many(k, 0, 10, 100);
    AUTO_FREE struct kit_seen *first = kit_drain(k);
    kit_expect(first, 0, 10);
    for (size_t i = 0; i < ARRAY_LEN(contents); i++) {
        kit_close(k);
        kit_cursors_remove(k);
        for (size_t j = 0; contents[i] && j < ARRAY_LEN(kit_cursors); j++) {
            kit_path(k, kit_cursors[j], path);
            kit_file_write(path, contents[i], strlen(contents[i]));
        }
        kit_open(k);
        assert_int_equal(k->recovery.cursor_lost, contents[i] != NULL);
        AUTO_FREE struct kit_seen *seen = kit_drain(k);
        kit_expect(seen, 0, 10);
    }
    kit_reopen(k);
    assert_false(k->recovery.cursor_lost);
    AUTO_FREE struct kit_seen *last = kit_drain(k);
    kit_expect(last, 0, 0);
}

/* An unsynced file that a cut of power left empty, a file on a bad sector, one of a release that knew no other: the other one says it. */
static void one_of_two_cursors_is_enough(void **state)
{
    struct kit *k = *state;
    char path[KIT_PATH_MAX];
    static const char *const contents[] = {NULL, "", "garbagegarbagegarbagegarbagegarbage"};
    uint64_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(contents); i++) {
        for (size_t j = 0; j < ARRAY_LEN(kit_cursors); j++) {
            kit_append_many(k, n, 10, 100);
            AUTO_FREE struct kit_seen *seen = kit_drain(k);
            kit_expect(seen, n, 10);
            n += 10;
            kit_close(k);
            kit_path(k, kit_cursors[j], path);
            if (contents[i])
                kit_file_write(path, contents[i], strlen(contents[i]));
            else
                assert_int_equal(unlink(path), 0);
            kit_open(k);
            assert_false(k->recovery.cursor_lost);
            AUTO_FREE struct kit_seen *again = kit_drain(k);
            kit_expect(again, 0, 0);
        }
    }
}

/* One that is older than the other is not believed, whichever it is. */
static void the_cursor_that_is_further_counts(void **state)
{
    struct kit *k = *state;
    char path[KIT_PATH_MAX];
    for (uint64_t i = 0; i < ARRAY_LEN(kit_cursors); i++) {
        kit_append_many(k, 20 * i, 10, 100);
        AUTO_FREE struct kit_seen *first = kit_drain(k);
        kit_expect(first, 20 * i, 10);
        kit_close(k);
        kit_path(k, kit_cursors[i], path);
        AUTO_BUF struct buf old = kit_file_read(path);
        kit_open(k);
        kit_append_many(k, 20 * i + 10, 10, 100);
        AUTO_FREE struct kit_seen *second = kit_drain(k);
        kit_expect(second, 20 * i + 10, 10);
        kit_close(k);
        kit_file_write(path, old.p, old.n);
        kit_open(k);
        AUTO_FREE struct kit_seen *again = kit_drain(k);
        kit_expect(again, 0, 0);
    }
}

static void the_nodes_id_survives(void **state)
{
    struct kit *k = *state;
    char path[KIT_PATH_MAX];
    struct id128 node = spool_node(k->s), again;
    kit_path(k, "node", path);
    kit_append_many(k, 0, 10, 100);
    kit_reopen(k);
    again = spool_node(k->s);
    assert_true(id_eq(&node, &again) && !id_is_nil(&node));
    kit_close(k);
    kit_file_write(path, "not an id", 9);
    kit_open(k); /* from a segment's header */
    again = spool_node(k->s);
    assert_true(id_eq(&node, &again));
    AUTO_FREE struct kit_seen *seen = kit_drain(k);
    kit_expect(seen, 0, 10);
}

static void numbers_only_grow(void **state)
{
    struct kit *k = *state;
    uint64_t last = 0;
    for (uint64_t i = 0; i < 20; i++) {
        kit_append_many(k, i, 1, 10);
        uint64_t number = kit_stats(k).synced.segment;
        assert_true(number > last);
        last = number;
        AUTO_FREE struct kit_seen *seen = kit_drain(k);
        kit_expect(seen, i, 1);
        kit_reopen(k);
    }
    kit_close(k); /* a segment from the future: the clock jumped back since */
    char path[KIT_PATH_MAX], name[KIT_PATH_MAX];
    assert_int_equal(snprintf(name, sizeof name, "%016" PRIx64 ".seg", last + (UINT64_C(1) << 40)), 20);
    kit_path(k, name, path);
    kit_file_write(path, "", 0);
    kit_open(k);
    kit_append_many(k, 20, 1, 10);
    assert_true(kit_stats(k).synced.segment > last + (UINT64_C(1) << 40));
}

static void foreign_and_half_made_files_do_no_harm(void **state)
{
    struct kit *k = *state;
    static const char *const names[] = {"spare",
                                        "new",
                                        "cursor.tmp",
                                        "kept.tmp",
                                        "node.tmp",
                                        "0000000000000001.seg",
                                        "fffffffffffffffe.seg.bak",
                                        "000000000000000g.seg",
                                        "1.seg",
                                        "README",
                                        "ffffffffffffffff.seg",
                                        "0000000000000000.seg"};
    char path[KIT_PATH_MAX];
    kit_append_many(k, 0, 10, 100);
    kit_close(k);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        kit_path(k, names[i], path);
        kit_file_write(path, "what is this?", 13);
    }
    kit_open(k);
    kit_append_many(k, 10, 10, 100);
    AUTO_FREE struct kit_seen *seen = kit_drain(k);
    kit_expect(seen, 0, 20);
    kit_path(k, "spare", path);
    assert_int_not_equal(access(path, F_OK), 0);
}

/* Somebody removed a segment's file while it waited to be read. */
static void a_vanished_segment_does_not_stop_the_rest(void **state)
{
    struct kit *k = *state;
    char path[KIT_PATH_MAX];
    kit_close(k);
    k->config.segment_bytes = 1;
    kit_open(k);
    kit_append_many(k, 0, 3, 100);
    kit_reopen(k); /* nothing is held open */
    (void)kit_segments(k, path);
    assert_int_equal(unlink(path), 0);
    AUTO_FREE struct kit_seen *seen = kit_drain(k);
    kit_expect(seen, 0, 2);
    kit_append_many(k, 3, 1, 100);
    AUTO_FREE struct kit_seen *more = kit_drain(k);
    kit_expect(more, 3, 1);
    assert_int_equal(kit_stats(k).bytes, 0);
}

/* ---- acknowledged against delivered */

/* xorshift: the same states in every run. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* S3 and S6: over many restarts, with ranges settled in any order, whatever was acknowledged is delivered; what was settled before the
 * cursor was saved is not delivered again. */
static void s3_s6_restarts_lose_nothing(void **state)
{
    struct kit *k = *state;
    uint64_t rng = 42, next = 0;
    AUTO_FREE struct kit_seen *seen = kit_seen_new();
    kit_close(k);
    k->config.segment_bytes = 20000;
    kit_open(k);
    for (int round = 0; round < 60; round++) {
        struct spool_range ranges[64];
        unsigned n = 0;
        for (unsigned i = (unsigned)(next_random(&rng) % 40); i > 0; i--)
            kit_append_many(k, next++, 1, next_random(&rng) % 3000);
        while (n < 64 && next_random(&rng) % 8 && kit_claim(k, 1 + (unsigned)(next_random(&rng) % 9), seen, &ranges[n]))
            n++;
        for (unsigned i = 0; i < n; i++) {
            if (next_random(&rng) % 3)
                spool_settle(k->s, &ranges[i]);
            else if (next_random(&rng) % 2)
                spool_release(k->s, &ranges[i]);
        }
        if (round % 3 == 0)
            kit_reopen(k);
    }
    kit_reopen(k);
    struct spool_range range;
    while (kit_claim(k, 100, seen, &range))
        spool_settle(k->s, &range);
    for (uint64_t i = 0; i < next; i++)
        if (seen->count[i] == 0)
            fail_msg("record %" PRIu64 " is lost", i);
    assert_int_equal(kit_stats(k).bytes, 0);
    kit_reopen(k);
    AUTO_FREE struct kit_seen *rest = kit_drain(k);
    kit_expect(rest, 0, 0);
}

static size_t any_size(unsigned i)
{
    return i * 7919 % 9000;
}

/* A cut of power: what was synced stands; of what was written after it any set of 4 KiB blocks may have reached the disk, the others keep
 * what was there before (zeros). Whatever that leaves, nothing synced is lost and nothing is delivered that was not appended. */
static void s3_a_power_cut_leaves_what_was_synced(void **state)
{
    struct kit *k = *state;
    enum { N = 60, STATES = 400 };
    struct kit_image im;
    uint64_t rng = 7;
    kit_image_take(k, &im, N, any_size);
    AUTO_BUF struct buf file = {0};
    for (int i = 0; i < STATES; i++) {
        unsigned synced = (unsigned)(next_random(&rng) % N);
        uint64_t from = im.starts[synced], written = im.starts[synced + next_random(&rng) % (N - synced)];
        size_t size = next_random(&rng) % 2 ? (size_t)written : (size_t)im.end + 3 * KIT_BLOCK;
        buf_clear(&file);
        buf_reserve(&file, im.end + 3 * KIT_BLOCK);
        memset(file.p, 0, im.end + 3 * KIT_BLOCK);
        memcpy(file.p, im.file.p, from);
        for (uint64_t at = from; at < written;) {
            uint64_t end = (at / KIT_BLOCK + 1) * KIT_BLOCK < written ? (at / KIT_BLOCK + 1) * KIT_BLOCK : written;
            if (next_random(&rng) % 2)
                memcpy(file.p + at, im.file.p + at, end - at);
            at = end;
        }
        kit_image_put(k, &im, file.p, size);
        kit_open(k);
        AUTO_FREE struct kit_seen *seen = kit_drain(k);
        for (unsigned j = 0; j < N; j++)
            if (seen->count[j] > 1 || (j < synced && seen->count[j] == 0))
                fail_msg("state %d: record %u of %u synced ones seen %u times", i, j, synced, seen->count[j]);
        assert_int_equal(kit_stats(k).bytes, 0);
        kit_close(k);
    }
    buf_done(&im.file);
}

/* ---- kill -9 */

enum { OUTSTANDING = 32, ROUNDS = 25 };

struct writer {
    struct kit *k;
    int pipe;
    uint64_t next;
    struct writer_append {
        struct kit_append append;
        struct writer *writer;
        uint64_t seq;
    } appends[OUTSTANDING];
};

static void writer_start(struct writer *w, struct writer_append *wa);

static void writer_done(struct spool_append *a, int r)
{
    struct writer_append *wa = container_of(container_of(a, struct kit_append, a), struct writer_append, append);
    if (r == 0 && write(wa->writer->pipe, &wa->seq, sizeof wa->seq) != sizeof wa->seq)
        _exit(1);
    writer_start(wa->writer, wa);
}

static void writer_start(struct writer *w, struct writer_append *wa)
{
    wa->seq = w->next++;
    wa->writer = w;
    if (kit_append_start(w->k, &wa->append, wa->seq, 100 + wa->seq * 131 % 5000) < 0)
        _exit(1);
    wa->append.a.done = writer_done;
}

/* Appends until it is killed; digests a little on the way. */
static void child_run(struct kit *k, int pipe, uint64_t first)
{
    struct writer w = {.k = k, .pipe = pipe, .next = first};
    struct spool_range range;
    if (uv_loop_fork(&k->loop) < 0)
        _exit(1);
    kit_open(k);
    for (unsigned i = 0; i < OUTSTANDING; i++)
        writer_start(&w, &w.appends[i]);
    for (;;) {
        (void)uv_run(&k->loop, UV_RUN_ONCE);
        if (spool_claim(k->s, 50, 1 << 20, &range) == 1 && range.from % 16 == 0)
            spool_release(k->s, &range); /* claimed, not settled: nothing may be lost */
    }
}

/* Reads acknowledged numbers until `n` came, then kills the child and reads the rest. Returns the highest + 1. */
static uint64_t kill_after(pid_t child, int pipe, unsigned n, uint8_t *acked)
{
    uint64_t seq, next = 0;
    for (unsigned i = 0; read(pipe, &seq, sizeof seq) == sizeof seq; i++) {
        assert_true(seq < KIT_SEEN_MAX);
        acked[seq] = 1;
        next = seq + 1 > next ? seq + 1 : next;
        if (i == n)
            assert_int_equal(kill(child, SIGKILL), 0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return next;
}

static void s3_kill_9_loses_nothing_acknowledged(void **state)
{
    struct kit *k = *state;
    uint64_t rng = 99, first = 0;
    AUTO_FREE uint8_t *acked = calloc(1, KIT_SEEN_MAX);
    AUTO_FREE struct kit_seen *seen = kit_seen_new();
    kit_close(k);
    k->config.segment_bytes = 300000;
    for (int round = 0; round < ROUNDS; round++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0) {
            (void)close(ends[0]);
            child_run(k, ends[1], first);
        }
        (void)close(ends[1]);
        uint64_t next = kill_after(child, ends[0], (unsigned)(next_random(&rng) % 700), acked);
        (void)close(ends[0]);
        first = next + OUTSTANDING; /* some in flight may be on disk under numbers that were never acknowledged */
        if (round % 5 == 4) {
            struct spool_range range;
            kit_open(k);
            while (kit_claim(k, 100, seen, &range))
                spool_settle(k->s, &range);
            assert_int_equal(kit_stats(k).quarantined, 0);
            kit_close(k);
        }
    }
    for (uint64_t i = 0; i < first; i++)
        if (acked[i] && seen->count[i] == 0)
            fail_msg("acknowledged record %" PRIu64 " is lost", i);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(everything_comes_again_without_a_cursor),
        CASE(one_of_two_cursors_is_enough),
        CASE(the_cursor_that_is_further_counts),
        CASE(the_nodes_id_survives),
        CASE(numbers_only_grow),
        CASE(foreign_and_half_made_files_do_no_harm),
        CASE(a_vanished_segment_does_not_stop_the_rest),
        CASE(s3_s6_restarts_lose_nothing),
        CASE(s3_a_power_cut_leaves_what_was_synced),
        CASE(s3_kill_9_loses_nothing_acknowledged),
    };
    return cmocka_run_group_tests_name("spool_recovery", tests, NULL, NULL);
}
