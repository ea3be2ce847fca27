/* test_blob_fault.c: disks that fail and processes that die while something is put (src/blob/store.c). Built with -Dfault_points=true only. */
#include "blob_kit.h"

#include <signal.h>
#include <sys/wait.h>

static const char *const points[] = {"blob.mkdir", "blob.open", "blob.write", "blob.sync", "blob.rename", "blob.dirsync", "blob.statvfs"};

/* A put that failed promised nothing and counts nothing; the next one is as good as any. */
static void a_failure_leaves_nothing(void **state)
{
    (void)state;
    for (size_t p = 0; p < ARRAY_LEN(points); p++) {
        struct blob_name name;
        struct blob_stats stats;
        struct kit k;
        unsigned failed = 0;
        kit_init(&k);
        assert_int_equal(mkdir(k.dir, 0700), 0);
        for (unsigned nth = 1;; nth++) {
            fault_arm(points[p], FAULT_ERROR, nth, nth % 2 ? EIO : ENOSPC);
            int r = blob_put(k.s, PROJECT, STR("some bytes"), &name);
            fault_disarm();
            if (r == 0)
                break;
            failed++;
            assert_true(r == -ERR_BLOB_FAILED || r == -ERR_BLOB_FULL);
            blob_stats(k.s, &stats);
            assert_int_equal(stats.bytes, 0);
        }
        assert_true(failed > 0);
        assert_true(kit_holds(&k, &name, STR("some bytes")));
        assert_int_equal(kit_walk(&k, INT64_MAX, NULL, 0), 1);
        kit_done(&k);
    }
}

/* One that is there is promised again only when its new time is durable. */
static void a_failed_touch_promises_nothing(void **state)
{
    (void)state;
    static const char *const touching[] = {"blob.touch", "blob.sync", "blob.dirsync"};
    struct blob_name name;
    struct kit k;
    kit_init(&k);
    assert_int_equal(blob_put(k.s, PROJECT, STR("there"), &name), 0);
    for (size_t p = 0; p < ARRAY_LEN(touching); p++) {
        fault_arm(touching[p], FAULT_ERROR, 1, EIO);
        assert_int_equal(blob_put(k.s, PROJECT, STR("there"), &name), -ERR_BLOB_FAILED);
        fault_disarm();
        assert_true(kit_holds(&k, &name, STR("there")));
    }
    assert_int_equal(blob_put(k.s, PROJECT, STR("there"), &name), 0);
    kit_done(&k);
}

static void short_writes_are_finished(void **state)
{
    (void)state;
    struct blob_name name;
    struct kit k;
    kit_init(&k);
    fault_arm("blob.write", FAULT_SHORT_WRITE, 1, 0);
    assert_int_equal(blob_put(k.s, PROJECT, STR("some bytes"), &name), 0);
    assert_true(fault_hits("blob.write") >= 2);
    fault_disarm();
    assert_true(kit_holds(&k, &name, STR("some bytes")));
    kit_done(&k);
}

/* Killed at any point, it is there and whole, or not there; what is left over is swept. */
static void a_kill_leaves_all_or_nothing(void **state)
{
    (void)state;
    for (size_t p = 0; p < ARRAY_LEN(points); p++) {
        bool killed = true;
        for (unsigned nth = 1; killed; nth++) {
            struct blob_found found;
            struct kit k;
            int status;
            kit_init(&k);
            pid_t child = fork();
            assert_true(child >= 0);
            if (child == 0) {
                struct blob_name name;
                fault_arm(points[p], FAULT_KILL, nth, 0);
                _exit(blob_put(k.s, PROJECT, STR("some bytes"), &name) == 0 ? 0 : 1);
            }
            assert_int_equal(waitpid(child, &status, 0), child);
            killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
            assert_true(killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
            kit_reopen(&k);
            size_t n = kit_walk(&k, INT64_MAX, &found, 1);
            assert_true(n == 1 ? kit_holds(&k, &found.name, STR("some bytes")) : killed);
            kit_done(&k);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_leaves_nothing),
        cmocka_unit_test(a_failed_touch_promises_nothing),
        cmocka_unit_test(short_writes_are_finished),
        cmocka_unit_test(a_kill_leaves_all_or_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
