/* test_spool.c: appending, claiming and settling in a spool that nothing goes wrong in (architecture, "Spool"). Recovery is in
 * test_spool_recovery.c, failing disks in test_spool_fault.c. */
#include "spool_kit.h"

#include <sched.h>

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

static void hands_out_what_was_appended(void **state)
{
    struct kit *k = *state;
    kit_append_many(k, 1, 300, 500);
    AUTO_FREE struct kit_seen *seen = kit_drain(k);
    kit_expect(seen, 1, 300);
    assert_int_equal(kit_stats(k).bytes, 0);
    assert_int_equal(kit_stats(k).records_appended, 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(hands_out_what_was_appended, setup, teardown),
    };
    return cmocka_run_group_tests_name("spool", tests, NULL, NULL);
}
