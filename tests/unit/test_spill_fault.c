/* test_spill_fault.c: disks that fail and processes that die while a dead letter becomes a file (src/digest/spill.c). Built with
 * -Dfault_points=true only. */
#include "spill_kit.h"

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
        cmocka_unit_test(short_writes_are_finished),
        cmocka_unit_test(a_kill_leaves_all_or_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
