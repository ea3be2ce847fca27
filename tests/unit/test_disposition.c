/* test_disposition.c: names and types that foreign files are handed out with: a table in data/disposition.jsonl, and lengths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "picket/api/disposition.h"
#include "picket/json/json.h"

static void table(void **state)
{
    (void)state;
    AUTO_FREE char *line = NULL;
    size_t cap = 0, n = 0;
    FILE *f = fopen(TEST_DATA "/disposition.jsonl", "re");
    assert_non_null(f);
    for (ssize_t length; (length = getline(&line, &cap, f)) > 0; n++) {
        AUTO_JSON struct json_doc *doc = NULL;
        AUTO_BUF struct buf out = {0};
        struct str in = STR(""), expected = STR("");
        struct arena a;
        arena_init(&a);
        assert_int_equal(json_parse(str_of(line, (size_t)length), &doc, NULL), 0);
        assert_true(json_str(json_get(json_root(doc), STR("in")), &a, &in) &&
                    json_str(json_get(json_root(doc), STR("out")), &a, &expected));
        disposition_write(in, &out);
        if (!str_eq(buf_str(&out), expected))
            fail_msg("%s: %s", line, buf_cstr(&out));
        arena_done(&a);
    }
    assert_int_equal(n, 10);
    (void)fclose(f);
}

/* 200 bytes at most, and no character is cut. */
static void lengths(void **state)
{
    (void)state;
    AUTO_BUF struct buf name = {0}, out = {0};
    for (unsigned i = 0; i < 150; i++)
        buf_append_str(&name, STR("\u20ac"));
    disposition_write(buf_str(&name), &out);
    size_t escapes = 0;
    for (size_t i = 0; i < out.n; i++)
        escapes += out.p[i] == '%';
    assert_int_equal(escapes, 198);
}

static void types(void **state)
{
    (void)state;
    static const char *const runs[] = {"text/html",       "TEXT/HTML",       "image/svg+xml", "text/xml", "application/xhtml+xml",
                                       "text/javascript", "application/pdf", "multipart/x",   "",         "text/plain, text/html",
                                       "text/plainx"};
    for (size_t i = 0; i < ARRAY_LEN(runs); i++)
        assert_true(str_eq(disposition_type(str_from(runs[i])), STR("application/octet-stream")));
    assert_true(str_eq(disposition_type(STR(" Image/PNG ; x=y")), STR("image/png")));
    assert_true(str_eq(disposition_type(STR("text/plain;charset=utf-7")), STR("text/plain; charset=utf-8")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(table), cmocka_unit_test(lengths), cmocka_unit_test(types)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
