/* test_spool_fault.c: disks that fail (architecture, "Spool"; invariants S2, S3, S5, S6). Built with -Dfault_points=true only. */
#include "spool_kit.h"

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include "disk.h"

static int setup(void **state)
{
    struct kit *k = malloc(sizeof *k);
    fault_disarm();
    kit_init(k);
    kit_open(k);
    *state = k;
    return 0;
}

static int teardown(void **state)
{
    fault_disarm();
    disk_break(0, 0);
    kit_done(*state);
    free(*state);
    return 0;
}

/* ---- S5 */

struct breakage {
    const char *point;
    enum fault_action action;
    int error;
};
static const struct breakage breakages[] = {
    {"spool.sync", FAULT_ERROR, EIO},
    {"spool.write", FAULT_ERROR, EIO},
    {"spool.write", FAULT_ERROR, ENOSPC},
    {"spool.write", FAULT_SHORT_WRITE, 0},
};

static void s5_a_failed_commit_seals_its_segment(void **state)
{
    struct kit *k = *state;
    uint64_t seq = 0;
    for (size_t i = 0; i < ARRAY_LEN(breakages); i++) {
        const struct breakage *b = &breakages[i];
        kit_append_many(k, seq, 5, 200);
        struct spool_pos before = kit_stats(k).synced;
        fault_arm(b->point, b->action, 1, b->error);
        assert_int_equal(kit_append(k, seq + 1000, 200), -ERR_SPOOL_SEALED);
        fault_disarm();
        assert_int_equal(kit_stats(k).seals, i + 1);
        assert_int_equal(kit_stats(k).last_error, -(b->error ? b->error : EIO));
        assert_true(kit_stats(k).synced.segment == before.segment && kit_stats(k).synced.offset == before.offset);
        kit_append_many(k, seq + 5, 5, 200);
        assert_true(kit_stats(k).synced.segment > before.segment);
        AUTO_FREE struct kit_seen *seen = kit_drain(k); /* what failed is not claimed */
        kit_expect(seen, seq, 10);
        assert_int_equal(kit_stats(k).bytes, 0);
        seq += 10;
    }
}

static void s5_all_waiters_of_a_failed_commit_fail(void **state)
{
    struct kit *k = *state;
    struct kit_append appends[100];
    unsigned failed = 0;
    kit_append_many(k, 5000, 1, 10);
    fault_arm("spool.sync", FAULT_ERROR, 2, 0);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(kit_append_start(k, &appends[i], i, 100), 0);
    while (appends[99].n_done == 0)
        (void)uv_run(&k->loop, UV_RUN_ONCE);
    fault_disarm();
    AUTO_FREE struct kit_seen *seen = kit_drain(k);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(appends[i].n_done, 1);
        assert_true(appends[i].result == 0 || appends[i].result == -ERR_SPOOL_SEALED);
        assert_int_equal(seen->count[i], appends[i].result == 0 ? 1 : 0);
        failed += appends[i].result < 0;
    }
    assert_int_equal(kit_stats(k).seals, failed > 0);
    assert_int_equal(kit_stats(k).refused, failed);
}

static void s5_a_failed_sync_is_not_tried_again_on_its_file(void **state)
{
    struct kit *k = *state;
    kit_append_many(k, 0, 5, 200);
    fault_arm("spool.sync", FAULT_ERROR, 1, 0);
    assert_int_equal(kit_append(k, 100, 200), -ERR_SPOOL_SEALED);
    assert_int_equal(fault_hits("spool.sync"), 1);
    assert_int_equal(fault_hits("spool.segment.open"), 0);
    assert_int_equal(kit_append(k, 5, 200), 0);
    assert_int_equal(fault_hits("spool.sync"), 2);
    assert_int_equal(fault_hits("spool.segment.open"), 1);
}

/* What a later start finds of the failed commit may be delivered or not; what was acknowledged must be. */
static void s5_acknowledged_records_survive_a_sealed_segment_and_a_restart(void **state)
{
    struct kit *k = *state;
    for (size_t i = 0; i < ARRAY_LEN(breakages); i++) {
        kit_append_many(k, 20 * i, 5, 200);
        fault_arm(breakages[i].point, breakages[i].action, 1, breakages[i].error);
        assert_int_equal(kit_append(k, 20 * i + 19, 200), -ERR_SPOOL_SEALED);
        fault_disarm();
        kit_append_many(k, 20 * i + 5, 5, 200);
        kit_reopen(k);
    }
    AUTO_FREE struct kit_seen *seen = kit_drain(k);
    for (size_t i = 0; i < ARRAY_LEN(breakages); i++)
        for (uint64_t j = 0; j < 10; j++)
            assert_int_equal(seen->count[20 * i + j], 1);
}

/* ---- S2: a segment that cannot be made */

static void s2_appends_fail_until_a_segment_can_be_made(void **state)
{
    struct kit *k = *state;
    static const char *const points[] = {"spool.segment.open", "spool.segment.write", "spool.segment.sync", "spool.segment.rename",
                                         "spool.dir.sync"};
    uint64_t acked = 0;
    for (size_t i = 0; i < ARRAY_LEN(points); i++) {
        fault_arm(points[i], FAULT_ERROR, 1, ENOSPC);
        assert_int_equal(kit_append(k, 1000, 10), -ERR_SPOOL_SEALED);
        assert_int_equal(fault_hits("spool.write"), 0); /* no record before header and name are durable */
        unsigned refused = 0;
        int64_t start = clock_mono_us();
        int r;
        while ((r = kit_append(k, acked, 10)) == -ERR_SPOOL_SEALED)
            refused++;
        assert_int_equal(r, 0);
        assert_true(refused > 0 && clock_mono_us() - start > 500 * 1000); /* not a new attempt for each */
        assert_int_equal(fault_hits("spool.segment.open"), 2);
        fault_disarm();
        acked++;
        kit_reopen(k); /* the next append makes another segment */
    }
    AUTO_FREE struct kit_seen *seen = kit_drain(k);
    kit_expect(seen, 0, (unsigned)acked);
    assert_int_equal(kit_stats(k).bytes, 0);
}

/* ---- S6: a cursor that cannot be saved lags, and never leads */

static bool one_segment_left(struct kit *k)
{
    return kit_segments(k, NULL) == 1;
}

/* What is digested may be the room that the disk lacks: the last segment does not wait for a next one to go. */
static void a_full_disk_gets_back_what_is_digested(void **state)
{
    struct kit *k = *state;
    static const char *const points[] = {"spool.write", "spool.segment.open"}; /* it is sealed, and none can follow */
    kit_append_many(k, 0, 10, 200);
    for (size_t i = 0; i < ARRAY_LEN(points); i++) {
        fault_arm(points[i], FAULT_ERROR, 1, ENOSPC);
        assert_int_equal(kit_append(k, 1000, 200), -ERR_SPOOL_SEALED);
    }
    fault_disarm();
    assert_int_equal(kit_segments(k, NULL), 1);
    AUTO_FREE struct kit_seen *seen = kit_drain(k);
    kit_expect(seen, 0, 10);
    for (int64_t until = clock_mono_us() + 30 * CLOCK_US_PER_S; kit_segments(k, NULL) > 0 && clock_mono_us() < until;)
        sched_yield();
    assert_int_equal(kit_segments(k, NULL), 0);
    kit_reopen(k); /* the cursor names a segment that is gone */
    kit_append_many(k, 10, 10, 200);
    AUTO_FREE struct kit_seen *later = kit_drain(k);
    kit_expect(later, 10, 10);
}

static void s6_a_cursor_that_is_not_saved_only_repeats(void **state)
{
    struct kit *k = *state;
    static const char *const points[] = {"spool.cursor.open", "spool.cursor.write", "spool.cursor.rename", "spool.kept.open",
                                         "spool.kept.write",  "spool.kept.sync",    "spool.kept.rename"};
    for (size_t i = 0; i < ARRAY_LEN(points); i++) {
        struct spool_range range;
        kit_append_many(k, 10 * i, 10, 100);
        assert_int_equal(spool_claim(k->s, 5, 1 << 20, &range), 1);
        fault_arm(points[i], FAULT_ERROR, 1, 0);
        spool_settle(k->s, &range);
        kit_reopen(k);
        fault_disarm();
        AUTO_FREE struct kit_seen *seen = kit_drain(k);
        for (uint64_t j = 5; j < 10; j++)
            assert_int_equal(seen->count[10 * i + j], 1);
        assert_in_range(seen->n_records, 5, 10);
        kit_reopen(k); /* saves the cursor, which may otherwise still be due when the next round's fault is armed */
    }
    kit_append_many(k, 100, 1, 10);
    AUTO_FREE struct kit_seen *seen = kit_drain(k);
    kit_expect(seen, 100, 1);
    kit_wait(k, one_segment_left);
}

/* ---- bad sectors: S4 */

/* All that one of these files says is said elsewhere: what was settled does not come again, and nothing is missing. */
static void a_bad_sector_under_cursor_or_node_prevents_no_start(void **state)
{
    struct kit *k = *state;
    static const char *const points[] = {"spool.cursor.open", "spool.cursor.read", "spool.kept.open",
                                         "spool.kept.read",   "spool.node.open",   "spool.node.read"};
    enum { N = 10, SETTLED = 5 };
    struct id128 node = spool_node(k->s), again;
    for (size_t i = 0; i < ARRAY_LEN(points); i++) {
        struct spool_range range;
        kit_append_many(k, N * i, N, 100);
        assert_int_equal(spool_claim(k->s, SETTLED, 1 << 20, &range), 1);
        spool_settle(k->s, &range);
        kit_close(k);
        fault_arm(points[i], FAULT_ERROR, 1, EACCES);
        assert_int_equal(spool_open(&k->config, &k->s, &k->recovery), -EACCES); /* somebody can help it */
        fault_arm(points[i], FAULT_ERROR, 1, EIO);
        kit_open(k);
        fault_disarm();
        assert_false(k->recovery.cursor_lost);
        again = spool_node(k->s);
        assert_true(id_eq(&node, &again));
        AUTO_FREE struct kit_seen *seen = kit_drain(k);
        for (uint64_t j = 0; j < N; j++)
            assert_int_equal(seen->count[N * i + j], j >= SETTLED);
        kit_reopen(k);
    }
}

enum { SECTOR_RECORDS = 40 };

static size_t sector_bytes(unsigned i)
{
    return i * 7919 % 9000;
}

static bool touches(const struct kit_image *im, unsigned i, uint64_t from, uint64_t to)
{
    return im->starts[i] < to && (i + 1 < im->n ? im->starts[i + 1] : im->end) > from;
}

/* Claims and reads all without settling it: another start finds it again. */
static struct kit_seen *look(struct kit *k)
{
    struct kit_seen *seen = kit_seen_new();
    struct spool_range range;
    while (kit_claim(k, 7, seen, &range))
        continue;
    return seen;
}

static void expect_around(const struct kit_seen *seen, const struct kit_image *im, uint64_t from, uint64_t to)
{
    for (unsigned i = 0; i < im->n; i++)
        if (seen->count[i] != !touches(im, i, from, to))
            fail_msg("block %" PRIu64 ": record %u seen %u times", from / KIT_BLOCK, i, seen->count[i]);
}

static void note_place(void *arg, UNUSED const struct spool_range *where)
{
    ++*(unsigned *)arg;
}

/* Each block in turn goes bad, of a segment that was finished in good order and of one that was not: it costs the records that lie in it, at a start and
 * later. Nothing is cut: when the disk gives the block again, all is there. */
static void a_bad_sector_costs_its_records_only(void **state)
{
    struct kit *k = *state;
    struct kit_image im;
    kit_image_take(k, &im, SECTOR_RECORDS, sector_bytes);
    for (unsigned i = 0; i < 2; i++) {
        size_t bytes = i == 0 ? im.file.n : im.end;
        for (uint64_t from = 0; from < im.end; from += KIT_BLOCK) {
            unsigned told = 0;
            kit_image_put(k, &im, im.file.p, bytes);
            disk_break(from, from + KIT_BLOCK);
            int r = spool_open(&k->config, &k->s, &k->recovery);
            if (from == 0) { /* the cursor and the spool's id lie in their files' first block, too */
                assert_int_equal(r, -EIO);
                disk_break(0, 0);
                assert_int_equal(spool_open(&k->config, &k->s, &k->recovery), 0);
                disk_break(from, from + KIT_BLOCK);
            }
            assert_int_equal(spool_port_open(k->s, &k->loop, &k->port), 0);
            spool_on_damage(k->s, note_place, &told);
            AUTO_FREE struct kit_seen *seen = look(k);
            expect_around(seen, &im, from, from + KIT_BLOCK);
            assert_true(told > 0);
            disk_break(0, 0);
            kit_reopen(k);
            AUTO_FREE struct kit_seen *healed = look(k);
            if (from > 0)
                kit_expect(healed, 0, SECTOR_RECORDS);
            else /* the cursor has passed what was lost at the very beginning */
                expect_around(healed, &im, from, from + KIT_BLOCK);
            kit_close(k);
        }
    }
    buf_done(&im.file);
}

/* It stays bad: the spool gets past it, and what can be read of the place is kept. */
static void a_bad_sector_does_not_hold_up_the_rest(void **state)
{
    struct kit *k = *state;
    struct kit_image im;
    const uint64_t from = 3 * KIT_BLOCK, to = 5 * KIT_BLOCK;
    kit_image_take(k, &im, SECTOR_RECORDS, sector_bytes);
    kit_open(k);
    disk_break(from, to);
    AUTO_FREE struct kit_seen *seen = kit_drain(k);
    expect_around(seen, &im, from, to);
    assert_int_equal(kit_stats(k).bytes, 0);
    assert_true(kit_stats(k).quarantined > 0);
    unsigned first = 0;
    while (!touches(&im, first, from, to))
        first++;
    char name[64], path[KIT_PATH_MAX];
    (void)snprintf(name, sizeof name, "quarantine/%016" PRIx64 "-%010" PRIx64, kit_stats(k).synced.segment, im.starts[first]);
    kit_path(k, name, path);
    AUTO_BUF struct buf kept = kit_file_read(path);
    assert_true(im.starts[first] < from && kept.n > from - im.starts[first]);
    assert_memory_equal(kept.p, im.file.p + im.starts[first], from - im.starts[first]);
    buf_done(&im.file);
}

/* A disk that gives nothing is away: nothing is taken for lost. */
static void a_disk_that_is_away_loses_nothing(void **state)
{
    struct kit *k = *state;
    struct spool_range range;
    struct spool_record records[10];
    AUTO_BUF struct buf buf = {0};
    kit_append_many(k, 0, SECTOR_RECORDS, 1000);
    disk_break(0, UINT64_MAX);
    assert_int_equal(spool_claim(k->s, 10, 1 << 20, &range), -EIO);
    disk_break(0, 0);
    assert_int_equal(spool_claim(k->s, 10, 1 << 20, &range), 1);
    disk_break(0, UINT64_MAX);
    assert_int_equal(spool_read(k->s, &range, &buf, records), -EIO);
    spool_release(k->s, &range);
    disk_break(0, 0);
    kit_close(k);
    disk_break(0, UINT64_MAX);
    assert_int_equal(spool_open(&k->config, &k->s, &k->recovery), -EIO);
    k->s = NULL;
    disk_break(0, 0);
    kit_open(k);
    AUTO_FREE struct kit_seen *seen = kit_drain(k);
    kit_expect(seen, 0, SECTOR_RECORDS);
    assert_int_equal(kit_stats(k).quarantined, 0);
}

/* ---- every point, every passing */

static const char *const all_points[] = {
    "spool.dir.mkdir",       "spool.dir.open",       "spool.dir.sync",       "spool.lock.open",
    "spool.node.open",       "spool.node.write",     "spool.node.sync",      "spool.node.rename",
    "spool.node.read",       "spool.segment.open",   "spool.segment.write",  "spool.segment.sync",
    "spool.segment.rename",  "spool.write",          "spool.sync",           "spool.segment.truncate",
    "spool.trailer.write",   "spool.segment.unlink", "spool.segment.reopen", "spool.statvfs",
    "spool.claim.read",      "spool.read",           "spool.cursor.open",    "spool.cursor.write",
    "spool.kept.sync",       "spool.kept.open",      "spool.kept.write",     "spool.kept.rename",
    "spool.cursor.rename",   "spool.cursor.read",    "spool.recover.open",   "spool.recover.read",
    "spool.recover.unlink",  "spool.spare.open",     "spool.spare.write",    "spool.spare.sync",
    "spool.quarantine.open",
};

/* Passed only where a segment is damaged and torn. */
static const char *const torn_points[] = {"spool.quarantine.mkdir", "spool.quarantine.open", "spool.quarantine.read",
                                          "spool.quarantine.write", "spool.recover.open",    "spool.recover.read",
                                          "spool.recover.sync",     "spool.segment.read",    "spool.segment.truncate",
                                          "spool.trailer.write",    "spool.claim.read"};

/* Spare segments are made by another thread, when it finds the time: a run may go without. */
static bool may_be_missed(const char *point)
{
    return str_starts(str_from(point), STR("spool.spare."));
}

enum { RUN_RECORDS = 24, TORN_RECORDS = 8, DAMAGED = 3, RUN_SEQS = TORN_RECORDS + RUN_RECORDS };
#define DELIVERED (UINT64_C(1) << 63)

/* What one run promised and handed over. With a pipe each fact is also told to whoever outlives the process, before anything builds on it. */
struct run {
    uint8_t acked[RUN_SEQS], delivered[RUN_SEQS]; /* the first TORN_RECORDS are those of an older life */
    int pipe;
};

static void note(struct run *run, uint64_t message)
{
    uint64_t seq = message & ~DELIVERED;
    assert_true(seq < RUN_SEQS);
    (message & DELIVERED ? run->delivered : run->acked)[seq] = 1;
    if (run->pipe >= 0 && write(run->pipe, &message, sizeof message) != sizeof message)
        _exit(2);
}

enum settling { SETTLE_SOME, SETTLE_ALL };

static void run_digest(struct kit *k, struct run *run, enum settling settling)
{
    struct spool_range range;
    struct spool_record records[4];
    AUTO_BUF struct buf buf = {0};
    for (int tries = 0; tries < 8; tries++) {
        if (spool_claim(k->s, 4, 1 << 20, &range) <= 0)
            continue;
        int n = spool_read(k->s, &range, &buf, records);
        if (n < 0) {
            spool_release(k->s, &range);
            continue;
        }
        for (int i = 0; i < n; i++) {
            kit_check(&records[i]);
            if (settling == SETTLE_ALL || tries < 2)
                note(run, records[i].project_id | DELIVERED);
        }
        if (settling == SETTLE_ALL || tries < 2)
            spool_settle(k->s, &range);
    }
}

/* Appends, digests a part, restarts, appends and digests again; goes on after any error. */
static void run_through(struct kit *k, struct run *run)
{
    uint64_t seq = TORN_RECORDS;
    for (int life = 0; life < 2; life++) {
        for (int i = 0; i < 3 && !k->s; i++)
            if (spool_open(&k->config, &k->s, &k->recovery) < 0)
                k->s = NULL;
        assert_non_null(k->s);
        assert_int_equal(spool_port_open(k->s, &k->loop, &k->port), 0);
        for (int i = 0; i < RUN_RECORDS / 2; i++, seq++)
            if (kit_append(k, seq, 400) == 0)
                note(run, seq);
        run_digest(k, run, life == 0 ? SETTLE_SOME : SETTLE_ALL);
        kit_close(k);
    }
}

/* Afterwards: all that was promised is there, and the spool works. */
static void run_check(struct kit *k, const struct run *run, const char *point, unsigned nth)
{
    kit_open(k);
    AUTO_FREE struct kit_seen *seen = kit_drain(k);
    for (unsigned i = 0; i < RUN_SEQS; i++)
        if (run->acked[i] && !run->delivered[i] && seen->count[i] == 0)
            fail_msg("%s, passing %u: acknowledged record %u is lost", point, nth, i);
    assert_int_equal(kit_stats(k).bytes, 0);
    assert_int_equal(kit_append(k, 1000, 10), 0);
    kit_close(k);
}

static size_t run_bytes(unsigned i)
{
    (void)i;
    return 400;
}

/* A directory for a run: empty, or with a segment of which a record is damaged and the last one torn. */
static void reset(struct kit *k, const struct kit_image *torn, struct run *run)
{
    kit_remove_tree(k->spool_dir);
    k->config.segment_bytes = 1500;
    if (!torn)
        return;
    assert_int_equal(mkdir(k->spool_dir, 0700), 0);
    kit_image_put(k, torn, torn->file.p, torn->starts[TORN_RECORDS - 1] + 100);
    for (unsigned i = 0; i < TORN_RECORDS - 1; i++)
        run->acked[i] = i != DAMAGED;
}

/* What reset() lays down. */
static struct kit_image torn_image(struct kit *k)
{
    struct kit_image im;
    kit_image_take(k, &im, TORN_RECORDS, run_bytes);
    im.file.p[im.starts[DAMAGED]] ^= 0x55;
    return im;
}

static void fail_each(struct kit *k, const char *const *points, size_t n, const struct kit_image *torn)
{
    for (size_t p = 0; p < n; p++) {
        bool hit = true;
        for (unsigned nth = 1; hit; nth++) {
            struct run run = {.pipe = -1};
            reset(k, torn, &run);
            bool is_write = str_ends(str_from(points[p]), STR("write"));
            fault_arm(points[p], is_write && nth % 3 == 0 ? FAULT_SHORT_WRITE : FAULT_ERROR, nth, nth % 2 ? ENOSPC : EIO);
            run_through(k, &run);
            hit = fault_hits(points[p]) >= nth;
            fault_disarm();
            if (nth == 1 && !hit && !may_be_missed(points[p]))
                fail_msg("%s was never passed", points[p]);
            run_check(k, &run, points[p], nth);
        }
    }
}

static void each_failure_loses_nothing_acknowledged(void **state)
{
    struct kit *k = *state;
    struct kit_image torn = torn_image(k);
    fail_each(k, all_points, ARRAY_LEN(all_points), NULL);
    fail_each(k, torn_points, ARRAY_LEN(torn_points), &torn);
    buf_done(&torn.file);
}

/* Runs in a child that the point kills. True when it was killed. */
static bool run_killed(struct kit *k, const char *point, unsigned nth, struct run *run)
{
    int ends[2], status;
    uint64_t message;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        struct run mine = {.pipe = ends[1]};
        if (uv_loop_fork(&k->loop) < 0)
            _exit(2);
        fault_arm(point, FAULT_KILL, nth, 0);
        run_through(k, &mine);
        _exit(0);
    }
    (void)close(ends[1]);
    while (read(ends[0], &message, sizeof message) == sizeof message)
        note(run, message);
    (void)close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
    return WIFSIGNALED(status);
}

static void kill_at_each(struct kit *k, const char *const *points, size_t n, const struct kit_image *torn)
{
    for (size_t p = 0; p < n; p++) {
        bool killed = true;
        for (unsigned nth = 1; killed; nth++) {
            struct run run = {.pipe = -1};
            reset(k, torn, &run);
            killed = run_killed(k, points[p], nth, &run);
            if (nth == 1 && !killed && !may_be_missed(points[p]))
                fail_msg("%s was never passed", points[p]);
            run_check(k, &run, points[p], nth);
        }
    }
}

static void each_death_loses_nothing_acknowledged(void **state)
{
    struct kit *k = *state;
    struct kit_image torn = torn_image(k);
    kill_at_each(k, all_points, ARRAY_LEN(all_points), NULL);
    kill_at_each(k, torn_points, ARRAY_LEN(torn_points), &torn);
    buf_done(&torn.file);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(s5_a_failed_commit_seals_its_segment),
        CASE(s5_all_waiters_of_a_failed_commit_fail),
        CASE(s5_a_failed_sync_is_not_tried_again_on_its_file),
        CASE(s5_acknowledged_records_survive_a_sealed_segment_and_a_restart),
        CASE(s2_appends_fail_until_a_segment_can_be_made),
        CASE(a_full_disk_gets_back_what_is_digested),
        CASE(s6_a_cursor_that_is_not_saved_only_repeats),
        CASE(a_bad_sector_under_cursor_or_node_prevents_no_start),
        CASE(a_bad_sector_costs_its_records_only),
        CASE(a_bad_sector_does_not_hold_up_the_rest),
        CASE(a_disk_that_is_away_loses_nothing),
        CASE(each_failure_loses_nothing_acknowledged),
        CASE(each_death_loses_nothing_acknowledged),
    };
    return cmocka_run_group_tests_name("spool_fault", tests, NULL, NULL);
}
