/* test_dsn.c: DSNs (protocol §1.1). A row of data/dsn.jsonl is a DSN and its parts, or an error. */
#include "byte_cases.h"

#include <errno.h>

#include "picket/protocol/dsn.h"

static bool check_row(const struct byte_case *c)
{
    struct dsn dsn;
    int r = dsn_parse(case_bytes(c, STR("dsn")), &dsn);
    if (!case_result(c, r))
        return false;
    if (r < 0)
        return true;
    char key[ID_HEX + 1];
    id_hex(&dsn.key, key);
    return case_str(c, "scheme", dsn.scheme, case_bytes(c, STR("scheme"))) &&
           case_str(c, "authority", dsn.authority, case_bytes(c, STR("authority"))) &&
           case_str(c, "path_prefix", dsn.path_prefix, case_bytes(c, STR("prefix"))) &&
           case_int(c, "project_id", (int64_t)dsn.project_id, case_i64(c, STR("project"), 0)) &&
           case_str(c, "key", str_from(key), case_bytes(c, STR("key"))) &&
           case_int(c, "public_key as written", str_eq_nocase(dsn.public_key, str_from(key)), true);
}

static void parses_the_table(void **state)
{
    (void)state;
    run_byte_cases("dsn.jsonl", check_row);
}

static void formats_for_the_public_url(void **state)
{
    (void)state;
    static const struct {
        const char *url, *dsn; /* NULL: refused */
    } cases[] = {
        {"https://sentry.example", "https://0123456789abcdef0123456789abcdef@sentry.example/42"},
        {"https://sentry.example/", "https://0123456789abcdef0123456789abcdef@sentry.example/42"},
        {"http://127.0.0.1:8080", "http://0123456789abcdef0123456789abcdef@127.0.0.1:8080/42"},
        {"https://h/errors", "https://0123456789abcdef0123456789abcdef@h/errors/42"},
        {"https://h/errors/a//", "https://0123456789abcdef0123456789abcdef@h/errors/a/42"},
        {"http://[::1]:80/x", "http://0123456789abcdef0123456789abcdef@[::1]:80/x/42"},
        {"", NULL},
        {"h", NULL},
        {"ftp://h", NULL},
        {"https://", NULL},
        {"https://user@h", NULL},
        {"https://h?x=1", NULL},
        {"https://h/#top", NULL},
        {"https://h x", NULL},
        {"https://h:99999", NULL},
    };
    struct id128 key;
    assert_true(id_parse(STR("0123456789abcdef0123456789abcdef"), &key));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_BUF struct buf out = {0};
        struct dsn again;
        int r = dsn_format(&out, str_from(cases[i].url), &key, 42);
        if (!cases[i].dsn) {
            assert_int_equal(r, -EINVAL);
            assert_int_equal(out.n, 0);
            continue;
        }
        assert_int_equal(r, 0);
        assert_string_equal(buf_cstr(&out), cases[i].dsn);
        assert_int_equal(dsn_parse(buf_str(&out), &again), 0);
        assert_int_equal(again.project_id, 42);
        assert_true(id_eq(&again.key, &key));
    }
}

static void endpoints_keep_the_prefix(void **state)
{
    (void)state;
    AUTO_BUF struct buf out = {0};
    struct dsn dsn;
    assert_int_equal(dsn_parse(STR("https://0123456789abcdef0123456789abcdef:s@h:81/a/b/42"), &dsn), 0);
    dsn_endpoint(&out, &dsn, STR("envelope"));
    assert_string_equal(buf_cstr(&out), "https://h:81/a/b/api/42/envelope/");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_the_table),
        cmocka_unit_test(formats_for_the_public_url),
        cmocka_unit_test(endpoints_keep_the_prefix),
    };
    return cmocka_run_group_tests_name("dsn", tests, NULL, NULL);
}
