/* The table of settings: defaults, bounds, and messages that name the variable, the value and what is allowed (issue: "bad values stop the start"). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config.h"

struct variable {
    const char *name, *value;
};
static struct variable environment[4]; /* what the test's getenv sees */

static char *test_getenv(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(environment); i++)
        if (environment[i].name && str_eq(str_from(environment[i].name), str_from(name)))
            return (char *)(uintptr_t)environment[i].value; /* getenv's own type */
    return NULL;
}

static int read_with(struct config *c, char *why, size_t size, struct variable a, struct variable b)
{
    environment[0] = a;
    environment[1] = b;
    environment[2] = (struct variable){"DATA_DIR", "/srv/picket"};
    return config_read(c, test_getenv, why, size);
}

static void defaults_are_usable(void **state)
{
    (void)state;
    struct config c;
    char why[512];
    assert_int_equal(read_with(&c, why, sizeof why, (struct variable){0}, (struct variable){0}), 0);
    assert_null(c.database_url);
    assert_string_equal(c.host, "127.0.0.1");
    assert_string_equal(c.public_url, "http://127.0.0.1:8080");
    assert_string_equal(c.path_prefix, "");
    assert_string_equal(c.spool_dir, "/srv/picket/spool");
    assert_true(c.http_threads >= 1);
    assert_int_equal(c.max_event_bytes, 1 << 20);
    config_done(&c);
}

static void empty_means_unset(void **state)
{
    (void)state;
    struct config c;
    char why[512];
    assert_int_equal(read_with(&c, why, sizeof why, (struct variable){"DATABASE_URL", ""}, (struct variable){"PORT", ""}), 0);
    assert_null(c.database_url);
    assert_int_equal(c.port, 8080);
    config_done(&c);
}

static void public_url_may_have_a_path(void **state)
{
    (void)state;
    struct config c;
    char why[512];
    assert_int_equal(read_with(&c, why, sizeof why, (struct variable){"PUBLIC_URL", "https://err.example.com:8443/errors/"},
                               (struct variable){0}),
                     0);
    assert_string_equal(c.public_url, "https://err.example.com:8443/errors");
    assert_string_equal(c.public_origin, "https://err.example.com:8443");
    assert_string_equal(c.path_prefix, "/errors");
    config_done(&c);
}

static void sizes_take_suffixes(void **state)
{
    (void)state;
    struct config c;
    char why[512];
    assert_int_equal(read_with(&c, why, sizeof why, (struct variable){"SPOOL_MAX_BYTES", "2G"},
                               (struct variable){"MAX_BODY_BYTES", "65536"}),
                     0);
    assert_int_equal(c.spool_max_bytes, UINT64_C(2) << 30);
    assert_int_equal(c.max_body_bytes, 65536);
    config_done(&c);
}

static void bad_values_are_explained(void **state)
{
    (void)state;
    static const struct {
        struct variable v;
        const char *allowed;
    } cases[] = {
        {{"PORT", "80a"}, "from 1 to 65535"},      {{"PORT", "0"}, "from 1 to 65535"},
        {{"PORT", "70000"}, "from 1 to 65535"},    {{"PORT", "-1"}, "from 1 to 65535"},
        {{"SPOOL_MAX_BYTES", "1T"}, "64M"},        {{"SPOOL_MAX_BYTES", "99999999999999999999"}, "64M"},
        {{"SSL_PROXY", "maybe"}, "true or false"}, {{"PUBLIC_URL", "errors.example.com"}, "URL"},
        {{"PUBLIC_URL", "http://"}, "URL"},        {{"PUBLIC_URL", "http://:80"}, "URL"},
        {{"PUBLIC_URL", "http://a:"}, "URL"},      {{"PUBLIC_URL", "http://a:0"}, "URL"},
        {{"PUBLIC_URL", "http://a:65536"}, "URL"}, {{"PUBLIC_URL", "http://[::1"}, "URL"},
        {{"PUBLIC_URL", "http://[]:80"}, "URL"},   {{"PUBLIC_URL", "http://::1/"}, "URL"},
        {{"PUBLIC_URL", "http://u@a/"}, "URL"},    {{"PUBLIC_URL", "ftp://a/"}, "URL"},
        {{"DASHBOARD_URL", "//a"}, "URL"},         {{"INGEST_DIR", "spool"}, "absolute path"},
        {{"PUBLIC_URL", "http://a/?x=1"}, "URL"},  {{"LOG_LEVEL", "loud"}, "debug, info"},
        {{"MAX_EVENT_BYTES", "8M"}, "7M"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct config c;
        char why[512] = "";
        assert_int_not_equal(read_with(&c, why, sizeof why, cases[i].v, (struct variable){0}), 0);
        assert_non_null(strstr(why, cases[i].v.name));
        assert_non_null(strstr(why, cases[i].v.value));
        assert_non_null(strstr(why, cases[i].allowed));
        config_done(&c);
    }
}

static void urls_may_name_an_ipv6_address(void **state)
{
    (void)state;
    struct config c;
    char why[512];
    assert_int_equal(read_with(&c, why, sizeof why, (struct variable){"PUBLIC_URL", "http://[::1]:8080"},
                               (struct variable){"DASHBOARD_URL", "https://[::1]/x"}),
                     0);
    assert_string_equal(c.public_origin, "http://[::1]:8080");
    assert_string_equal(c.dashboard_origin, "https://[::1]");
    config_done(&c);
}

/* One round to mend them all; a value that is wrong does not make others look wrong. */
static void all_mistakes_are_told_at_once(void **state)
{
    (void)state;
    struct config c;
    char why[1024], small[40];
    environment[3] = (struct variable){"CREATE_SUPERUSER", "nobody:geheim"};
    assert_int_not_equal(read_with(&c, why, sizeof why, (struct variable){"PORT", "http"}, (struct variable){"LOG_LEVEL", "loud"}), 0);
    struct str rest = str_from(why);
    static const char *const names[] = {"PORT=http", "LOG_LEVEL=loud", "CREATE_SUPERUSER"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_true(str_starts(str_cut(&rest, '\n'), str_from(names[i])));
    assert_null(rest.p);
    assert_null(strstr(why, "geheim"));
    config_done(&c);
    assert_int_not_equal(read_with(&c, small, sizeof small, (struct variable){"PORT", "http"}, (struct variable){"LOG_LEVEL", "loud"}), 0);
    assert_int_equal(strlen(small), sizeof small - 1); /* cut */
    config_done(&c);
    environment[3] = (struct variable){0};
}

static void every_thread_has_a_connection(void **state)
{
    (void)state;
    struct config c;
    char why[512];
    assert_int_equal(read_with(&c, why, sizeof why, (struct variable){"DATABASE_MAX_CONNECTIONS", "2"}, (struct variable){0}), 0);
    assert_true(c.http_threads >= 1 && c.http_threads <= 2);
    config_done(&c);
    assert_int_equal(read_with(&c, why, sizeof why, (struct variable){"DATABASE_MAX_CONNECTIONS", "3"},
                               (struct variable){"HTTP_THREADS", "3"}),
                     0);
    config_done(&c);
    assert_int_not_equal(read_with(&c, why, sizeof why, (struct variable){"DATABASE_MAX_CONNECTIONS", "3"},
                                   (struct variable){"HTTP_THREADS", "4"}),
                         0);
    assert_non_null(strstr(why, "DATABASE_MAX_CONNECTIONS=3"));
    assert_non_null(strstr(why, "HTTP_THREADS=4"));
    config_done(&c);
}

static void what_was_set_is_known(void **state)
{
    (void)state;
    struct config c;
    char why[512];
    assert_int_equal(read_with(&c, why, sizeof why, (struct variable){"PORT", ""}, (struct variable){"PUBLIC_URL", ""}), 0);
    assert_true(c.data_dir_is_set);
    assert_false(c.address_is_set);
    config_done(&c);
    assert_int_equal(read_with(&c, why, sizeof why, (struct variable){"PORT", "8080"}, (struct variable){0}), 0);
    assert_true(c.address_is_set);
    config_done(&c);
    assert_int_equal(read_with(&c, why, sizeof why, (struct variable){"PUBLIC_URL", "http://a"}, (struct variable){0}), 0);
    assert_true(c.address_is_set);
    config_done(&c);
}

static void hear_ignored(const char *name, const char *why)
{
    assert_string_equal(name, "SMTP_PORT");
    assert_non_null(strstr(why, "alerts"));
    environment[1].name = NULL; /* heard: it would not be found again */
}

/* Contract §6.1. */
static void unknown_names_of_the_contract_are_told(void **state)
{
    (void)state;
    environment[0] = (struct variable){"SMTP_HOST", ""};
    environment[1] = (struct variable){"SMTP_PORT", "100"};
    config_find_ignored(test_getenv, hear_ignored);
    assert_null(environment[1].name);
}

/* Contract §6.2, §7.2: an account that the dashboard cannot log in with would be of no use. */
static void the_first_administrator_can_log_in(void **state)
{
    (void)state;
    static const char *const good[] = {"a@b.co:geheim12", " a@b.co :p:a:s:s:word",
                                       "a@b.co:\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4"};
    static const char *const bad[] = {"a@b.co:geheim",      "a@localhost:geheim12", "geheim12", ":geheim12", "a@b.co",
                                      "a@b.co:geheim1\xFF", "a@b.co:geheim\xC3\xA4" /* eight bytes, seven characters */};
    struct config c;
    char why[512];
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_int_equal(read_with(&c, why, sizeof why, (struct variable){"CREATE_SUPERUSER", good[i]}, (struct variable){0}), 0);
        config_done(&c);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_not_equal(read_with(&c, why, sizeof why, (struct variable){"CREATE_SUPERUSER", bad[i]}, (struct variable){0}), 0);
        assert_non_null(strstr(why, "CREATE_SUPERUSER"));
        assert_null(strstr(why, "geheim")); /* secrets are not repeated */
        config_done(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_usable),
        cmocka_unit_test(empty_means_unset),
        cmocka_unit_test(public_url_may_have_a_path),
        cmocka_unit_test(sizes_take_suffixes),
        cmocka_unit_test(bad_values_are_explained),
        cmocka_unit_test(urls_may_name_an_ipv6_address),
        cmocka_unit_test(the_first_administrator_can_log_in),
        cmocka_unit_test(all_mistakes_are_told_at_once),
        cmocka_unit_test(every_thread_has_a_connection),
        cmocka_unit_test(what_was_set_is_known),
        cmocka_unit_test(unknown_names_of_the_contract_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
