/* test_cold.c: how many unknown keys a worker may ask the database for (src/ingest/cold.c). The clock is an argument. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "../../src/auth/key_copy.h"
#include "cold.h"
#include "picket/base/clock.h"

#define START_US (INT64_C(1000) * CLOCK_US_PER_S)

static int setup(void **state)
{
    struct key_cache *keys;
    assert_int_equal(key_cache_open(&keys), 0);
    *state = keys;
    return 0;
}

static int teardown(void **state)
{
    key_cache_free(*state);
    return 0;
}

/* As a start does while the database is away. */
static void fill_cache(struct key_cache *keys, size_t n)
{
    const char *tmp = getenv("TMPDIR");
    char path[256];
    assert_true(snprintf(path, sizeof path, "%s/picket-cold-XXXXXX", tmp ? tmp : P_tmpdir) < (int)sizeof path);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)close(fd); /* only its name is wanted */
    struct key_entry entry = {.key = id_random(), .info = {.project_id = 1, .key_id = 1, .active = true}};
    assert_int_equal(key_copy_write(path, &entry, n), 0);
    assert_int_equal(key_cache_restore(keys, path), n);
    (void)unlink(path);
}

static unsigned take_all(struct cold *c, int64_t now_us)
{
    unsigned n = 0;
    while (n < 10000 && cold_may(c, now_us))
        n++;
    return n;
}

static void a_burst_then_a_pace(void **state)
{
    struct cold c;
    fill_cache(*state, 1);
    cold_init(&c, *state);
    assert_int_equal(take_all(&c, START_US), COLD_BURST);
    assert_int_equal(take_all(&c, START_US + CLOCK_US_PER_S / COLD_PER_S - 1), 0);
    assert_int_equal(take_all(&c, START_US + CLOCK_US_PER_S / COLD_PER_S), 1);
    assert_int_equal(take_all(&c, START_US + CLOCK_US_PER_S), COLD_PER_S - 1);
    unsigned n = 0;
    for (int64_t at = 1000; at <= 10 * CLOCK_US_PER_S; at += 1000) /* parts of a token are not lost */
        n += take_all(&c, START_US + CLOCK_US_PER_S + at);
    assert_int_equal(n, 10 * COLD_PER_S);
    assert_int_equal(take_all(&c, START_US + CLOCK_US_PER_DAY), COLD_BURST); /* and do not pile up */
}

static void few_at_once(void **state)
{
    struct cold c;
    fill_cache(*state, 0); /* of an installation without any */
    cold_init(&c, *state);
    c.n_looks = COLD_MAX;
    for (int i = 0; i < 1000; i++)
        assert_false(cold_may(&c, START_US + i * CLOCK_US_PER_S));
    c.n_looks--;
    assert_true(cold_may(&c, START_US + CLOCK_US_PER_HOUR));
}

/* At a start nothing is known yet, and good keys must be asked for as they come. */
static void many_before_the_cache_is_filled(void **state)
{
    struct cold c;
    cold_init(&c, *state);
    assert_false(key_cache_is_filled(*state));
    assert_int_equal(take_all(&c, START_US), 10000);
    c.n_looks = COLD_UNFILLED_MAX;
    assert_false(cold_may(&c, START_US));
    c.n_looks--;
    assert_true(cold_may(&c, START_US));
    fill_cache(*state, 1);
    assert_true(key_cache_is_filled(*state));
    assert_false(cold_may(&c, START_US + CLOCK_US_PER_S));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_burst_then_a_pace, setup, teardown),
        cmocka_unit_test_setup_teardown(few_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(many_before_the_cache_is_filled, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
