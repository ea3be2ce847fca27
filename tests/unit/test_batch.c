/* test_batch.c: what a digest batch keeps of its memory (src/digest/batch.c). What it does is tested where batches are stored: test_digest, test_rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "batch.h"

static void memory_is_kept_while_busy_and_given_back_at_rest(void **state)
{
    (void)state;
    enum { ORDINARY = 4 << 20, LARGE = 100 << 20, SMALL = 1 << 20 };
    struct batch b;
    batch_init(&b);
    buf_reserve(&b.bytes, ORDINARY);
    buf_reserve(&b.arrays[A_R_PAYLOAD].buf, ORDINARY);
    buf_reserve(&b.scratch, LARGE);
    const char *before = b.bytes.p;
    batch_clear(&b);
    assert_ptr_equal(b.bytes.p, before);
    assert_true(b.bytes.cap >= ORDINARY && b.arrays[A_R_PAYLOAD].buf.cap >= ORDINARY);
    assert_true(b.scratch.cap < ORDINARY); /* one event of a hundred megabytes is no reason to keep as much */
    batch_rest(&b);
    assert_true(b.bytes.cap <= SMALL && b.arrays[A_R_PAYLOAD].buf.cap <= SMALL);
    batch_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(memory_is_kept_while_busy_and_given_back_at_rest)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
