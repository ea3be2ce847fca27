/* test_window.c: the sliding window against a count that keeps every taking, under random traffic (protocol §4.3; src/protocol/window.c W1–W3). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "picket/protocol/window.h"

#define SECOND INT64_C(1000000)
#define MINUTE (60 * SECOND)
enum { TAKINGS_MAX = 100000 };

/* The naive one. */
struct model {
    size_t n;
    struct {
        int64_t at_us;
        uint64_t n;
    } takings[TAKINGS_MAX];
};

/* What was taken after `since_us`. */
static uint64_t model_sum(const struct model *m, int64_t since_us)
{
    uint64_t sum = 0;
    for (size_t i = m->n; i-- > 0 && m->takings[i].at_us > since_us;)
        sum += m->takings[i].n;
    return sum;
}

static uint32_t next(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*seed >> 33);
}

/* Bursts, trickles and pauses; most takings are one, some many. */
static int64_t pause_us(uint64_t *seed, int64_t length_us)
{
    switch (next(seed) % 8) {
    case 0:
        return length_us / 10 + next(seed) % length_us;
    case 1:
        return next(seed) % (length_us / 20);
    default:
        return next(seed) % (length_us / 5000);
    }
}

static void follows_the_model(int64_t length_us, uint64_t limit, uint64_t seed)
{
    static struct model m; /* large */
    struct window w;
    int64_t now = (int64_t)next(&seed) * 1000, held_us = length_us + length_us / WINDOW_SLOTS;
    m.n = 0;
    window_init(&w, length_us, now);
    for (unsigned i = 0; i < 20000; i++) {
        now += pause_us(&seed, length_us);
        uint64_t n = next(&seed) % 20 == 0 ? next(&seed) % (limit + 2) : 1;
        int64_t wait = window_wait_us(&w, now, limit, n);
        uint64_t exact = model_sum(&m, now - length_us), held = model_sum(&m, now - held_us);
        assert_true(window_sum(&w, now) >= exact && window_sum(&w, now) <= held); /* W1, W2 */
        assert_true(wait >= 0 && wait <= length_us);
        if (wait == 0) {
            assert_true(exact + n <= limit); /* W1 */
            window_add(&w, now, n);
            if (n)
                m.takings[m.n].at_us = now, m.takings[m.n++].n = n;
        } else {
            assert_true(held + n > limit); /* W2 */
            struct window later = w;
            assert_true(n > limit || window_wait_us(&later, now + wait, limit, n) == 0); /* W3 */
            later = w;
            assert_true(wait == 1 || n > limit || window_wait_us(&later, now + wait - 1, limit, n) == 1);
        }
    }
    assert_true(m.n > 1000);
}

static void counts_as_exactly_as_it_says(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        follows_the_model(MINUTE, 5, seed);
        follows_the_model(MINUTE, 500, seed);
        follows_the_model(60 * MINUTE, 100, seed);
        follows_the_model(30 * 1000, 3, seed);
    }
}

static void takes_exactly_the_limit_from_rest(void **state)
{
    (void)state;
    for (int64_t start = 0; start < 4 * SECOND; start += SECOND / 3) {
        struct window w;
        window_init(&w, MINUTE, start);
        for (unsigned i = 0; i < 100; i++) {
            assert_int_equal(window_wait_us(&w, start, 100, 1), 0);
            window_add(&w, start, 1);
        }
        assert_int_equal(window_wait_us(&w, start, 100, 1), MINUTE);
        assert_int_equal(window_wait_us(&w, start + MINUTE - 1, 100, 1), 1);
        assert_int_equal(window_wait_us(&w, start + MINUTE, 100, 100), 0);
    }
}

static void slides(void **state)
{
    (void)state;
    struct window w;
    window_init(&w, MINUTE, 0);
    window_add(&w, 10 * SECOND, 3);
    window_add(&w, 40 * SECOND, 2);
    assert_int_equal(window_wait_us(&w, 41 * SECOND, 5, 1), 29 * SECOND);
    assert_int_equal(window_wait_us(&w, 41 * SECOND, 5, 4), 59 * SECOND);
    assert_int_equal(window_sum(&w, 70 * SECOND), 2);
    assert_int_equal(window_sum(&w, 100 * SECOND - 1), 2);
    assert_int_equal(window_sum(&w, 100 * SECOND), 0);
}

static void counts_what_was_taken_earlier(void **state)
{
    (void)state;
    struct window w;
    window_init(&w, MINUTE, 1000 * SECOND);
    window_add_at(&w, 1000 * SECOND, 950 * SECOND, 7);
    window_add_at(&w, 1000 * SECOND, 940 * SECOND, 1); /* over */
    window_add_at(&w, 1000 * SECOND, -5, 1);
    window_add_at(&w, 1000 * SECOND, 2000 * SECOND, 2); /* a clock that goes wrong: now */
    assert_int_equal(window_sum(&w, 1000 * SECOND), 9);
    assert_int_equal(window_sum(&w, 1010 * SECOND), 2);
    assert_int_equal(window_sum(&w, 900 * SECOND), 2); /* time does not go back */
    assert_int_equal(window_sum(&w, 1060 * SECOND), 0);
}

static void takes_back_the_newest(void **state)
{
    (void)state;
    struct window w;
    window_init(&w, MINUTE, 0);
    window_add(&w, 10 * SECOND, 3);
    window_add(&w, 20 * SECOND, 3);
    window_take_back(&w, 21 * SECOND, 4);
    assert_int_equal(window_sum(&w, 21 * SECOND), 2);
    assert_int_equal(window_sum(&w, 70 * SECOND), 0);
    window_take_back(&w, 70 * SECOND, 4); /* more than there is */
    assert_int_equal(window_sum(&w, 70 * SECOND), 0);
}

static void never_overflows(void **state)
{
    (void)state;
    struct window w;
    window_init(&w, MINUTE, 0);
    window_add(&w, 0, UINT64_MAX - 1);
    window_add(&w, 3 * SECOND, 5);
    assert_true(window_sum(&w, 3 * SECOND) == UINT64_MAX);
    assert_int_equal(window_wait_us(&w, 3 * SECOND, UINT64_MAX, 1), 57 * SECOND);
    assert_int_equal(window_sum(&w, 60 * SECOND), 1);
    assert_int_equal(window_wait_us(&w, INT64_MAX - MINUTE, 0, 1), MINUTE); /* nothing is allowed: nothing ever fits */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_as_exactly_as_it_says),
        cmocka_unit_test(takes_exactly_the_limit_from_rest),
        cmocka_unit_test(slides),
        cmocka_unit_test(counts_what_was_taken_earlier),
        cmocka_unit_test(takes_back_the_newest),
        cmocka_unit_test(never_overflows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
