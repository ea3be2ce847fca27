/* Slices, ids, time, arenas, buffers, workers, errors. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "picket/base/arena.h"
#include "picket/base/buf.h"
#include "picket/base/clock.h"
#include "picket/base/error.h"
#include "picket/base/hash.h"
#include "picket/base/id.h"
#include "picket/base/ip.h"
#include "picket/base/list.h"
#include "picket/base/log.h"
#include "picket/base/work.h"

static void assert_str(struct str got, const char *want)
{
    assert_int_equal(got.n, strlen(want));
    assert_memory_equal(got.p, want, got.n);
}

static void str_cut_walks_every_part(void **state)
{
    (void)state;
    struct str rest = STR("a,,b,");
    assert_str(str_cut(&rest, ','), "a");
    assert_str(str_cut(&rest, ','), "");
    assert_str(str_cut(&rest, ','), "b");
    assert_non_null(rest.p);
    assert_str(str_cut(&rest, ','), "");
    assert_null(rest.p);
}

static void str_numbers_are_strict(void **state)
{
    (void)state;
    uint64_t u = 7;
    int64_t i = 7;
    assert_true(str_to_u64(STR("18446744073709551615"), &u));
    assert_true(u == UINT64_MAX);
    assert_false(str_to_u64(STR("18446744073709551616"), &u));
    assert_false(str_to_u64(STR(""), &u));
    assert_false(str_to_u64(STR(" 1"), &u));
    assert_false(str_to_u64(STR("+1"), &u));
    assert_false(str_to_u64(STR("1x"), &u));
    assert_true(str_to_i64(STR("-9223372036854775808"), &i));
    assert_true(i == INT64_MIN);
    assert_false(str_to_i64(STR("9223372036854775808"), &i));
    assert_false(str_to_i64(STR("-"), &i));
    assert_true(i == INT64_MIN);
}

static void str_utf8_is_checked(void **state)
{
    (void)state;
    assert_true(str_is_utf8(STR("plain ascii, more than eight bytes")));
    assert_true(str_is_utf8(STR("caf\xC3\xA9 \xF0\x9F\x92\xA5")));
    assert_false(str_is_utf8(STR("12345678\xED\xA0\xBD"))); /* surrogate */
    assert_false(str_is_utf8(STR("\xC0\x80")));             /* overlong */
    assert_false(str_is_utf8(STR("\xF4\x90\x80\x80")));     /* beyond U+10FFFF */
    assert_false(str_is_utf8(STR("abc\xE2\x82")));          /* cut */
    assert_str(str_take_code_points(STR("\xC3\xA9\xC3\xA9\xC3\xA9"), 2), "\xC3\xA9\xC3\xA9");
    assert_str(str_take_code_points(STR("abc"), 5), "abc");
}

static void str_base64_round_trips(void **state)
{
    (void)state;
    uint8_t bytes[64], back[80];
    char text[100];
    for (size_t n = 0; n < sizeof bytes; n++) {
        random_bytes(bytes, n);
        size_t len = str_base64url_encode(bytes, n, text);
        assert_int_equal(str_base64_decode(str_of(text, len), back), n);
        assert_memory_equal(bytes, back, n);
    }
    assert_int_equal(str_base64_decode(STR("a2V5Og=="), back), 4);
    assert_memory_equal(back, "key:", 4);
    assert_true(str_base64_decode(STR("a"), back) < 0);
    assert_true(str_base64_decode(STR("ab c"), back) < 0);
}

static void str_percent_decoding_keeps_broken_escapes(void **state)
{
    (void)state;
    char dst[32];
    struct str in = STR("a%20b+c%2");
    assert_str(str_of(dst, str_percent_decode(in, dst)), "a b c%2");
    in = STR("%zz%41");
    assert_str(str_of(dst, str_percent_decode(in, dst)), "%zzA");
}

static void id_forms_of_contract_1_1(void **state)
{
    (void)state;
    struct id128 a, b;
    assert_true(id_parse(STR("fc6d8c0c43fc4630ad850ee518f1b9d0"), &a));
    static const char *const same[] = {"FC6D8C0C43FC4630AD850EE518F1B9D0", "fc6d8c0c-43fc-4630-ad85-0ee518f1b9d0",
                                       "{fc6d8c0c-43fc-4630-ad85-0ee518f1b9d0}", "urn:uuid:fc6d8c0c-43fc-4630-ad85-0ee518f1b9d0"};
    for (size_t i = 0; i < ARRAY_LEN(same); i++) {
        assert_true(id_parse(str_from(same[i]), &b));
        assert_true(id_eq(&a, &b));
    }
    assert_false(id_parse(STR("fc6d8c0c43fc4630ad850ee518f1b9d"), &b));
    assert_false(id_parse(STR("fc6d8c0c-43fc-4630-ad850-ee518f1b9d0"), &b));
    char text[ID_DASHED + 1];
    id_dashed(&a, text);
    assert_string_equal(text, "fc6d8c0c-43fc-4630-ad85-0ee518f1b9d0");
}

static void id_v7_sorts_and_names_its_time(void **state)
{
    (void)state;
    int64_t at = INT64_C(1795219200123456);
    struct id128 last = id_v7(at);
    assert_true(id_v7_ms(&last) == at / 1000);
    assert_int_equal(last.b[6] >> 4, 7);
    assert_int_equal(last.b[8] >> 6, 2);
    for (int i = 1; i < 1000; i++) {
        struct id128 next = id_v7(at + i * 7);
        assert_true(id_cmp(&last, &next) < 0);
        last = next;
    }
}

static void id_conforming_follows_contract_7_2(void **state)
{
    (void)state;
    struct id128 id, r;
    assert_true(id_parse(STR("fc6d8c0c43fc0630cd850ee518f1b9d0"), &id)); /* version 0, variant 11 */
    r = id_conforming(&id);
    char text[ID_DASHED + 1];
    id_dashed(&r, text);
    assert_string_equal(text, "fc6d8c0c-43fc-8630-8d85-0ee518f1b9d0");
    assert_true(id_parse(STR("fc6d8c0c43fc4630ad850ee518f1b9d0"), &id));
    r = id_conforming(&id);
    assert_true(id_eq(&r, &id));
    r = id_conforming(&(struct id128){0});
    assert_true(id_is_nil(&r));
}

static void ip_reads_addresses_and_nothing_else(void **state)
{
    (void)state;
    static const uint8_t v4[16] = {[10] = 0xff, [11] = 0xff, [12] = 203, [13] = 0, [14] = 113, [15] = 7};
    static const uint8_t v6[16] = {[0] = 0x20, [1] = 0x01, [2] = 0x0d, [3] = 0xb8, [15] = 1};
    static const char *const none[] = {"",
                                       "1.2.3",
                                       "1.2.3.256",
                                       " 1.2.3.4",
                                       "1.2.3.4 ",
                                       "1.2.3.4:80",
                                       "[::1]",
                                       "::1/128",
                                       "fe80::1%eth0",
                                       "1.2.3.4/32",
                                       "2001:db8:::1",
                                       "unknown",
                                       "1:2:3:4:5:6:7",
                                       "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000"};
    uint8_t addr[16];
    assert_true(ip_parse(STR("203.0.113.7"), addr));
    assert_memory_equal(addr, v4, sizeof v4);
    assert_true(ip_is_v4(addr));
    assert_true(ip_parse(STR("::FFFF:203.0.113.7"), addr));
    assert_memory_equal(addr, v4, sizeof v4);
    assert_true(ip_parse(STR("2001:0DB8:0::1"), addr));
    assert_memory_equal(addr, v6, sizeof v6);
    assert_false(ip_is_v4(addr));
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        assert_false(ip_parse(str_from(none[i]), addr));
    assert_false(ip_parse(STR("1.2.3.4\0"), addr));
    assert_memory_equal(addr, v6, sizeof v6);
}

static void ip_writes_what_it_reads(void **state)
{
    (void)state;
    static const char *const texts[] = {"203.0.113.7", "0.0.0.0", "2001:db8::1", "::1", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"};
    char text[IP_TEXT_MAX];
    uint8_t addr[16];
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        assert_true(ip_parse(str_from(texts[i]), addr));
        assert_str(str_of(text, ip_format(addr, text)), texts[i]);
        assert_int_equal(ip_is_unknown(addr), strcmp(texts[i], "::") == 0);
    }
    assert_int_equal(text[ip_format(addr, text)], '\0');
}

static void clock_formats_as_contract_1_6(void **state)
{
    (void)state;
    static const struct {
        int64_t us;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00Z"},
        {INT64_C(1768826096123456), "2026-01-19T12:34:56.123456Z"},
        {INT64_C(1768826096500000), "2026-01-19T12:34:56.500Z"},
        {INT64_C(-1), "1969-12-31T23:59:59.999999Z"},
        {INT64_C(951782400000000), "2000-02-29T00:00:00Z"},
        {INT64_MAX, "9999-12-31T23:59:59.999999Z"},
        {INT64_MIN, "0001-01-01T00:00:00Z"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[CLOCK_RFC3339_MAX];
        size_t n = clock_format(cases[i].us, text);
        assert_string_equal(text, cases[i].text);
        assert_int_equal(n, strlen(text));
        int64_t back;
        assert_true(clock_parse(str_from(text), &back));
        if (cases[i].us > CLOCK_MIN_US && cases[i].us < CLOCK_MAX_US)
            assert_true(back == cases[i].us);
    }
}

static void clock_parses_what_sdks_send(void **state)
{
    (void)state;
    static const char *const same[] = {"2026-01-19T12:34:56.5Z",      "2026-01-19 12:34:56.500",         "2026-01-19t12:34:56.500000000z",
                                       "2026-01-19T14:34:56.5+02:00", "2026-01-19T07:04:56.500000-0530", "2026-01-19T13:34:56.5+01"};
    for (size_t i = 0; i < ARRAY_LEN(same); i++) {
        int64_t us = 0;
        assert_true(clock_parse(str_from(same[i]), &us));
        assert_true(us == INT64_C(1768826096500000));
    }
    static const char *const bad[] = {
        "",  "2026-01-19",          "2026-02-30T00:00:00Z",    "2026-13-01T00:00:00Z", "2026-01-19T24:00:00Z", "2026-01-19T12:34:56+25:00",
        "x", "2026-1-19T12:34:56Z", "2026-01-19T12:34:56 CET", "20260119T123456Z"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int64_t us;
        assert_false(clock_parse(str_from(bad[i]), &us));
    }
}

static void arena_survives_reset_and_large_requests(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a);
    for (int round = 0; round < 3; round++) {
        for (size_t n = 0; n < 200; n++) {
            char *p = arena_alloc(&a, n * 37);
            assert_true((uintptr_t)p % 16 == 0 || n == 0);
            memset(p, 0xAA, n * 37);
        }
        char *zero = arena_zalloc(&a, 3 << 20);
        assert_int_equal(zero[0] | zero[(3 << 20) - 1], 0);
        assert_str(arena_printf(&a, "%d-%s", 7, "x"), "7-x");
        arena_reset(&a);
        assert_int_equal(a.bytes, 0);
    }
    arena_done(&a);
}

static void log_quote_escapes_and_cuts(void **state)
{
    (void)state;
    char dst[16];
    assert_string_equal(log_quote(STR("a\"b\nc"), dst, sizeof dst), "\"a\\\"b\\x0ac\"");
    assert_true(strlen(log_quote(STR("0123456789012345678901234567890"), dst, sizeof dst)) < sizeof dst);
}

static void error_rows_are_whole(void **state)
{
    (void)state;
    assert_int_equal(err_status(-ERR_SPOOL_FULL), 503);
    assert_int_equal(err_fate(-ERR_BAD_JSON), FATE_DEAD);
    assert_string_equal(err_name(-ERR_KEY_REJECTED), "KEY_REJECTED");
    assert_string_equal(err_name(-ENOSPC), "ENOSPC");
    assert_int_equal(err_status(-ENOSPC), 500);
}

struct counted_job {
    struct work_job job;
    pthread_mutex_t *lock;
    unsigned *runs, *finishes;
};
static void counted_run(struct work_job *job)
{
    struct counted_job *c = container_of(job, struct counted_job, job);
    pthread_mutex_lock(c->lock);
    ++*c->runs;
    pthread_mutex_unlock(c->lock);
}
static void counted_finished(struct work_job *job)
{
    struct counted_job *c = container_of(job, struct counted_job, job);
    pthread_mutex_lock(c->lock);
    ++*c->finishes;
    pthread_mutex_unlock(c->lock);
}

static void work_runs_every_job_once_and_is_bounded(void **state)
{
    (void)state;
    enum { JOBS = 500 };
    static struct counted_job jobs[JOBS];
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    unsigned runs = 0, finishes = 0, accepted = 0;
    struct work_pool *pool;
    assert_int_equal(work_pool_open(2, 50, &pool), 0);
    pthread_mutex_lock(&lock); /* jobs stand still: the queue fills */
    for (unsigned i = 0; i < JOBS; i++) {
        jobs[i] = (struct counted_job){{.run = counted_run, .finished = counted_finished}, &lock, &runs, &finishes};
        int r = work_submit(pool, &jobs[i].job);
        assert_true(r == 0 || r == -ERR_BUSY);
        accepted += r == 0;
    }
    assert_in_range(accepted, 50, 52);
    pthread_mutex_unlock(&lock);
    work_pool_close(pool);
    assert_int_equal(runs, accepted);
    assert_int_equal(finishes, accepted);
}

/* Across the size where it begins, and beyond: the bytes are the same as on the heap. */
static void grow_alike(struct buf *b)
{
    AUTO_BUF struct buf heap = {0};
    uint32_t x = 1;
    while (heap.n < 5 * BUF_FILE_FROM) {
        char part[1000];
        for (size_t i = 0; i < sizeof part; i++)
            part[i] = (char)((x = x * 1664525 + 1013904223) >> 24);
        buf_append(&heap, part, sizeof part);
        buf_append(b, part, sizeof part);
        if (heap.n % 7000 == 0)
            buf_reserve(b, BUF_FILE_FROM / 3);
    }
    assert_true(str_eq(buf_str(b), buf_str(&heap)));
}

static void buf_grows_in_a_file(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    struct buf b = {.file_dir = tmp ? tmp : "/tmp"};
    buf_append_str(&b, STR("small ones are on the heap"));
    assert_false(b.in_file);
    buf_clear(&b);
    grow_alike(&b);
    assert_true(b.in_file);
    buf_clear(&b);
    grow_alike(&b);
    buf_done(&b);
    assert_null(b.p);
}

static void buf_without_a_file_is_on_the_heap(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = {.file_dir = "/proc/nowhere"};
    grow_alike(&b);
    assert_false(b.in_file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(str_cut_walks_every_part),
        cmocka_unit_test(buf_grows_in_a_file),
        cmocka_unit_test(buf_without_a_file_is_on_the_heap),
        cmocka_unit_test(str_numbers_are_strict),
        cmocka_unit_test(str_utf8_is_checked),
        cmocka_unit_test(str_base64_round_trips),
        cmocka_unit_test(str_percent_decoding_keeps_broken_escapes),
        cmocka_unit_test(id_forms_of_contract_1_1),
        cmocka_unit_test(id_v7_sorts_and_names_its_time),
        cmocka_unit_test(id_conforming_follows_contract_7_2),
        cmocka_unit_test(ip_reads_addresses_and_nothing_else),
        cmocka_unit_test(ip_writes_what_it_reads),
        cmocka_unit_test(clock_formats_as_contract_1_6),
        cmocka_unit_test(clock_parses_what_sdks_send),
        cmocka_unit_test(arena_survives_reset_and_large_requests),
        cmocka_unit_test(log_quote_escapes_and_cuts),
        cmocka_unit_test(error_rows_are_whole),
        cmocka_unit_test(work_runs_every_job_once_and_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
