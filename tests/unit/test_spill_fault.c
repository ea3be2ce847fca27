/* test_spill_fault.c: disks that fail and processes that die while a dead letter becomes a file (src/digest/spill.c). Built with
 * -Dfault_points=true only. */
#include "spill_kit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

enum { PLENTY = 1 << 20 };

static const char *const points[] = {"digest.spill.open", "digest.spill.write", "digest.spill.sync", "digest.spill.rename"};

/* A letter whose file failed is not there: its row stays. The next attempt is as good as any. */
static void a_failure_leaves_nothing(void **state)
{
    (void)state;
    for (size_t p = 0; p < ARRAY_LEN(points); p++) {
        struct kit k;
        unsigned failed = 0;
        kit_init(&k, PLENTY);
        for (unsigned nth = 1;; nth++) {
            fault_arm(points[p], FAULT_ERROR, nth, ENOSPC);
            int r = kit_write(&k, 1);
            fault_disarm();
            if (r == 0)
                break;
            failed++;
            assert_int_equal(r, -ENOSPC);
            assert_int_equal(kit_check(&k), 0);
            assert_int_equal(kit_stats(&k).files, 0);
            assert_int_equal(kit_stats(&k).bytes, 0);
        }
        assert_true(failed > 0);
        assert_int_equal(kit_check(&k), 1);
        kit_done(&k);
    }
}

/* A letter that could not be replaced is what it was, or gone with its place in the directory uncertain: a look tells. */
static void a_failed_replacement_is_measured_again(void **state)
{
    (void)state;
    for (size_t p = 0; p < ARRAY_LEN(points); p++) {
        struct kit k;
        kit_init(&k, PLENTY);
        for (unsigned nth = 1;; nth++) {
            static const struct timespec long_ago[2] = {{.tv_sec = 1700000000}, {.tv_sec = 1700000000}};
            assert_int_equal(kit_write(&k, 1), 0);
            assert_int_equal(utimensat(AT_FDCWD, k.dir, long_ago, 0), 0); /* old enough to be believed unchanged */
            spill_refresh(k.s);
            fault_arm(points[p], FAULT_ERROR, nth, EIO);
            int r = kit_write(&k, 1);
            fault_disarm();
            spill_refresh(k.s);
            assert_int_equal(kit_stats(&k).files, kit_check(&k));
            if (r == 0)
                break;
            assert_int_equal(r, -EIO);
        }
        kit_done(&k);
    }
}

static void short_writes_are_finished(void **state)
{
    struct kit k;
    (void)state;
    kit_init(&k, PLENTY);
    fault_arm("digest.spill.write", FAULT_SHORT_WRITE, 1, 0);
    assert_int_equal(kit_write(&k, 1), 0);
    assert_true(fault_hits("digest.spill.write") >= 2);
    fault_disarm();
    assert_int_equal(kit_check(&k), 1);
    kit_done(&k);
}

/* Killed at any point, a letter is there and whole, or not there; the next start tidies up. */
static void a_kill_leaves_all_or_nothing(void **state)
{
    (void)state;
    for (size_t p = 0; p < ARRAY_LEN(points); p++) {
        for (unsigned nth = 1;; nth++) {
            struct kit k;
            int status;
            kit_init(&k, PLENTY);
            pid_t child = fork();
            assert_true(child >= 0);
            if (child == 0) {
                fault_arm(points[p], FAULT_KILL, nth, 0);
                _exit(kit_write(&k, 1) == 0 ? 0 : 1);
            }
            assert_int_equal(waitpid(child, &status, 0), child);
            bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
            assert_true(killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
            spill_close(k.s);
            kit_open(&k, PLENTY);
            size_t n = kit_check(&k);
            assert_int_equal(kit_stats(&k).files, n);
            if (!killed)
                assert_int_equal(n, 1);
            kit_done(&k);
            if (!killed)
                break;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_leaves_nothing),
        cmocka_unit_test(a_failed_replacement_is_measured_again),
        cmocka_unit_test(short_writes_are_finished),
        cmocka_unit_test(a_kill_leaves_all_or_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
