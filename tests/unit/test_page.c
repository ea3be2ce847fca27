/* test_page.c: page numbers and event cursors (contract §1.7 with its "→ Ours"). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "picket/api/page.h"
#include "picket/base/error.h"

static void numbers_are_clamped(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t want; /* 0: refused */
    } cases[] = {
        {"1", 1},   {"7", 7},  {"0", 1},  {"-9223372036854775808", 1}, {"101", 100}, {"9223372036854775807", 100}, {"", 0}, {"x", 0},
        {"1.5", 0}, {" 1", 0}, {"1 ", 0}, {"9223372036854775808", 0}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t v = 0;
        assert_int_equal(page_number(str_from(cases[i].text), 1, PAGE_MAX, &v), cases[i].want != 0);
        assert_int_equal(v, cases[i].want);
    }
}

static void pages_are_counted(void **state)
{
    (void)state;
    assert_int_equal(page_count(0, 20), 0);
    assert_int_equal(page_count(1, 20), 1);
    assert_int_equal(page_count(20, 20), 1);
    assert_int_equal(page_count(21, 20), 2);
}

static void cursors_come_back(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        AUTO_BUF struct buf text = {0};
        struct id128 id = id_v7(1768826096123456 + i), back;
        struct str why = STR("");
        page_cursor_write(&text, i % 2 ? STR("asc") : STR("desc"), &id);
        for (size_t at = 0; at < text.n; at++)
            assert_null(strchr("+/= %", text.p[at]));
        assert_int_equal(page_cursor_read(buf_str(&text), &back, &why), 0);
        assert_true(id_eq(&id, &back));
    }
}

static int read_json(const char *json, struct str *ret_why)
{
    char text[1024];
    struct id128 id;
    assert_true(strlen(json) < 600);
    size_t n = str_base64url_encode(json, strlen(json), text);
    return page_cursor_read(str_of(text, n), &id, ret_why);
}

static void bad_cursors_are_told_apart(void **state)
{
    (void)state;
    static const char *const encodings[] = {"%", "a+b", "a/b", "eyJhIjo=", "gIA", "a b"};
    static const char *const formats[] = {"",
                                          "x",
                                          "{",
                                          "{}",
                                          "[]",
                                          "null",
                                          "{\"order\":\"desc\",\"last_digest_order\":2}",
                                          "{\"order\":\"desc\",\"last_id\":\"x\"}",
                                          "{\"order\":\"desc\",\"last_id\":2}",
                                          "{\"last_id\":\"01a1fd5c-f0ad-7466-8cfe-7f9d619ceff8\"}"};
    struct id128 id;
    struct str why;
    for (size_t i = 0; i < ARRAY_LEN(encodings); i++) {
        assert_int_equal(page_cursor_read(str_from(encodings[i]), &id, &why), -ERR_INVALID);
        assert_true(str_eq(why, STR("Invalid cursor encoding")));
    }
    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        assert_int_equal(read_json(formats[i], &why), -ERR_INVALID);
        assert_true(str_eq(why, STR("Invalid cursor format")));
    }
}

/* Anything a client sends as a cursor is bounded, whatever it decodes to. */
static void long_cursors_are_refused(void **state)
{
    (void)state;
    AUTO_BUF struct buf text = {0};
    struct id128 id;
    struct str why;
    for (int i = 0; i < 100000; i++) {
        if (i > 512)
            i += 999;
        buf_append_char(&text, 'A');
        assert_int_equal(page_cursor_read(buf_str(&text), &id, &why), -ERR_INVALID);
    }
}

/* The order inside a cursor does not count: the query's does (contract §1.7). */
static void the_order_inside_is_ignored(void **state)
{
    (void)state;
    struct str why;
    assert_int_equal(read_json("{\"order\":\"sideways\",\"last_id\":\"01a1fd5c-f0ad-7466-8cfe-7f9d619ceff8\",\"more\":1}", &why), 0);
}

static void numbers_come_back(void **state)
{
    (void)state;
    static const int64_t numbers[] = {0, 1, 255, 256, INT32_MAX, INT64_C(1) << 32, INT64_MAX};
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        AUTO_BUF struct buf text = {0};
        struct str why;
        int64_t n = -1;
        page_cursor_write_number(&text, STR("desc"), numbers[i]);
        assert_int_equal(page_cursor_read_number(buf_str(&text), &n, &why), 0);
        assert_true(n == numbers[i]);
    }
}

/* A cursor of another list, whose rows have ids. */
static void ids_are_no_numbers(void **state)
{
    (void)state;
    static const uint8_t bytes[][2] = {{0, 1}, {7, 1}, {8, 0x80}, {8, 0xff}};
    for (size_t i = 0; i < ARRAY_LEN(bytes); i++) {
        AUTO_BUF struct buf text = {0};
        struct id128 id = {{0}};
        struct str why;
        int64_t n = -1;
        id.b[bytes[i][0]] = bytes[i][1];
        page_cursor_write(&text, STR("desc"), &id);
        assert_int_equal(page_cursor_read_number(buf_str(&text), &n, &why), -ERR_INVALID);
        assert_true(str_eq(why, STR("Invalid cursor format")) && n == -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_clamped),      cmocka_unit_test(pages_are_counted),
        cmocka_unit_test(cursors_come_back),        cmocka_unit_test(bad_cursors_are_told_apart),
        cmocka_unit_test(long_cursors_are_refused), cmocka_unit_test(the_order_inside_is_ignored),
        cmocka_unit_test(numbers_come_back),        cmocka_unit_test(ids_are_no_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
