/* test_guard.c: request heads that two parsers could read differently. A row of data/guard.jsonl is a head and what it is refused with. */
#include "byte_cases.h"

#include "picket/http/guard.h"

static bool check_row(const struct byte_case *c)
{
    struct str why = STR("");
    return case_result(c, guard_head(case_bytes(c, STR("head")), &why));
}

static void follows_the_table(void **state)
{
    (void)state;
    run_byte_cases("guard.jsonl", check_row);
}

/* A head of exactly `bytes`, padded in one header. */
static int guard_of_size(size_t bytes)
{
    AUTO_BUF struct buf head = {0};
    struct str why = STR("");
    buf_append_str(&head, STR("GET / HTTP/1.1\r\nHost: x\r\nX-A: "));
    while (head.n < bytes - 4)
        buf_append_char(&head, 'a');
    buf_append_str(&head, STR("\r\n\r\n"));
    return guard_head(buf_str(&head), &why);
}

static void bounds_the_head(void **state)
{
    (void)state;
    assert_int_equal(guard_of_size(GUARD_MAX_HEAD), 0);
    for (size_t over = 1; over <= 4; over++)
        assert_int_equal(guard_of_size(GUARD_MAX_HEAD + over), -ERR_HEAD_TOO_LARGE);
    assert_int_equal(guard_of_size(GUARD_MAX_HEAD + 100000), -ERR_HEAD_TOO_LARGE);
}

static void says_why(void **state)
{
    (void)state;
    struct str why = STR("");
    assert_int_equal(guard_head(STR("GET / HTTP/1.1\r\n\r\n"), &why), -ERR_BAD_REQUEST);
    assert_true(why.n > 0);
}

static void finds_the_size_of_a_body(void **state)
{
    (void)state;
    static const struct {
        const char *input;
        uint64_t bytes;
    } cases[] = {
        {"POST /a:b HTTP/1.1\r\nHost: x\r\ncontent-LENGTH:  12 \r\n\r\nabc", 12},
        {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nabc", 3},
        {"POST / HTTP/1.1\r\nContent-Length: 18446744073709551615\r\n\r\n", UINT64_MAX},
        {"POST / HTTP/1.1\r\nContent-Length: 18446744073709551616\r\n\r\nab", 2},
        {"POST / HTTP/1.1\r\nHost: x\r\n\r\nContent-Length: 5\r\n", 19},
        {"POST / HTTP/1.1\r\nHost: x\r\n", 0},
        {"POST", 0},
        {"", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(guard_body_bytes(str_from(cases[i].input)), cases[i].bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_the_table),
        cmocka_unit_test(bounds_the_head),
        cmocka_unit_test(says_why),
        cmocka_unit_test(finds_the_size_of_a_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
