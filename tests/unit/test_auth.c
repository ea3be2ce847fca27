/* Secrets, passwords, throttling, e-mail addresses, scopes. Time is an argument. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "picket/auth/email.h"
#include "picket/auth/password.h"
#include "picket/auth/scope.h"
#include "picket/auth/secret.h"
#include "picket/auth/throttle.h"
#include "picket/base/clock.h"

static const int64_t S = CLOCK_US_PER_S;

static void session_is_43_url_safe_characters(void **state)
{
    (void)state;
    char a[SESSION_CHARS + 1], b[SESSION_CHARS + 1];
    session_new(a);
    session_new(b);
    assert_int_equal(strlen(a), SESSION_CHARS);
    assert_int_equal(strspn(a, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), SESSION_CHARS);
    assert_string_not_equal(a, b);
}

/* Contract §1.2: "Bearer ", this case, exactly 40 lower-case hex digits. */
static void bearer_header_is_exact(void **state)
{
    (void)state;
    struct str token;
    assert_true(token_from_header(STR("Bearer 0123456789abcdef0123456789abcdef01234567"), &token));
    assert_int_equal(token.n, TOKEN_CHARS);
    static const char *const bad[] = {"",
                                      "bearer 0123456789abcdef0123456789abcdef01234567",
                                      "Bearer 0123456789ABCDEF0123456789abcdef01234567",
                                      "Bearer 0123456789abcdef0123456789abcdef0123456",
                                      "Bearer 0123456789abcdef0123456789abcdef012345678",
                                      "Basic 0123456789abcdef0123456789abcdef01234567"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(token_from_header(str_from(bad[i]), &token));
}

static void cookie_is_found_among_others(void **state)
{
    (void)state;
    struct str v = cookie_value(STR("a=1; rustrak_session=ab_-c ; x=y=z"), STR("rustrak_session"));
    assert_true(str_eq(v, STR("ab_-c")));
    assert_true(str_eq(cookie_value(STR("a=1; x=y=z"), STR("x")), STR("y=z")));
    assert_int_equal(cookie_value(STR("xrustrak_session=1; rustrak_session"), STR("rustrak_session")).n, 0);
    assert_int_equal(cookie_value(STR(""), STR("a")).n, 0);
}

static void password_verifies_only_itself(void **state)
{
    (void)state;
    char hash[PASSWORD_HASH_MAX], other[PASSWORD_HASH_MAX];
    assert_int_equal(password_hash(STR("correct horse"), hash), 0);
    assert_int_equal(password_hash(STR("correct horse"), other), 0);
    assert_string_not_equal(hash, other);
    assert_memory_equal(hash, "$argon2id$v=19$m=19456,t=2,p=1$", 31);
    assert_true(password_verify(STR("correct horse"), hash));
    assert_false(password_verify(STR("correct horsf"), hash));
    assert_false(password_verify(STR(""), hash));
    assert_false(password_verify(STR("correct horse"), "not a hash"));
}

/* Of the processor, which others may be using meanwhile. */
static int64_t worked_us(void)
{
    struct timespec t;
    assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t), 0);
    return t.tv_sec * CLOCK_US_PER_S + t.tv_nsec / 1000;
}

/* Contract G-19: whether an account exists must not show in the time. */
static void unknown_account_costs_a_verification(void **state)
{
    (void)state;
    char hash[PASSWORD_HASH_MAX];
    assert_int_equal(password_hash(STR("correct horse"), hash), 0);
    int64_t t0 = worked_us();
    assert_false(password_verify(STR("wrong horse"), hash));
    int64_t t1 = worked_us();
    assert_false(password_verify(STR("wrong horse"), ""));
    int64_t t2 = worked_us();
    assert_true(t1 > t0);
    assert_true((t2 - t1) * 4 > t1 - t0);
}

static void random_passwords_are_long_and_differ(void **state)
{
    (void)state;
    char a[21], b[21];
    password_random(a);
    password_random(b);
    assert_int_equal(strlen(a), 20);
    assert_string_not_equal(a, b);
}

/* Contract §7.1: one wrong password in the dashboard is three requests. */
static void throttle_counts_three_quick_failures_as_one(void **state)
{
    (void)state;
    struct throttle *t = throttle_new();
    struct str who = STR("ann@example.com"), from = STR("127.0.0.1");
    int64_t now = 1000 * S;
    for (int attempt = 0; attempt < THROTTLE_ACCOUNT_FAILURES; attempt++, now += 10 * S) {
        assert_int_equal(throttle_check(t, who, from, now), 0);
        for (int i = 0; i < 3; i++)
            throttle_failed(t, who, from, now + i * S / 3);
    }
    unsigned wait = throttle_check(t, who, from, now);
    assert_in_range(wait, 1, THROTTLE_WINDOW_S);
    assert_int_equal(throttle_check(t, STR("bob@example.com"), from, now), 0);
    assert_int_equal(throttle_check(t, who, from, now + (int64_t)wait * S), 0);
    throttle_free(t);
}

static void throttle_is_not_fooled_by_a_flood_in_one_second(void **state)
{
    (void)state;
    struct throttle *t = throttle_new();
    for (int i = 0; i < 3 * THROTTLE_ACCOUNT_FAILURES; i++)
        throttle_failed(t, STR("ann@example.com"), STR("127.0.0.1"), 1000 * S + i);
    assert_true(throttle_check(t, STR("ann@example.com"), STR("127.0.0.9"), 1001 * S) > 0);
    throttle_free(t);
}

static void throttle_counts_addresses_over_accounts(void **state)
{
    (void)state;
    struct throttle *t = throttle_new();
    char name[32];
    for (int i = 0; i < THROTTLE_ADDRESS_FAILURES; i++) {
        int n = snprintf(name, sizeof name, "user%d@example.com", i);
        throttle_failed(t, str_of(name, (size_t)n), STR("10.0.0.1"), 1000 * S + i * 5 * S);
    }
    assert_true(throttle_check(t, STR("fresh@example.com"), STR("10.0.0.1"), 1100 * S) > 0);
    assert_int_equal(throttle_check(t, STR("fresh@example.com"), STR("10.0.0.2"), 1100 * S), 0);
    throttle_free(t);
}

/* Whoever has one IPv6 address has 2^64. */
static void throttle_counts_a_network_of_ipv6_as_one(void **state)
{
    (void)state;
    struct throttle *t = throttle_new();
    char name[32], from[64];
    for (int i = 0; i < THROTTLE_ADDRESS_FAILURES; i++) {
        int n = snprintf(name, sizeof name, "user%d@example.com", i), m = snprintf(from, sizeof from, "2001:db8:1:2::%x", i + 1);
        throttle_failed(t, str_of(name, (size_t)n), str_of(from, (size_t)m), 1000 * S + i * 5 * S);
    }
    assert_true(throttle_check(t, STR("fresh@example.com"), STR("2001:db8:1:2:ffff::9"), 1100 * S) > 0);
    assert_int_equal(throttle_check(t, STR("fresh@example.com"), STR("2001:db8:1:3::1"), 1100 * S), 0);
    for (int i = 0; i < THROTTLE_ADDRESS_FAILURES; i++) /* of mapped IPv4 addresses the /64 is everybody */
        throttle_failed(t, STR("x@example.com"), STR("::ffff:10.0.0.1"), 1000 * S + i * 5 * S);
    assert_int_equal(throttle_check(t, STR("fresh@example.com"), STR("::ffff:10.0.0.2"), 1100 * S), 0);
    throttle_free(t);
}

static void throttle_forgets_after_success(void **state)
{
    (void)state;
    struct throttle *t = throttle_new();
    struct str who = STR("ann@example.com");
    for (int i = 0; i < THROTTLE_ACCOUNT_FAILURES; i++)
        throttle_failed(t, who, STR("10.0.0.1"), (1000 + 5 * i) * S);
    assert_true(throttle_check(t, who, STR("10.0.0.1"), 1030 * S) > 0);
    throttle_succeeded(t, who);
    assert_int_equal(throttle_check(t, who, STR("10.0.0.1"), 1030 * S), 0);
    throttle_free(t);
}

static void throttle_is_bounded(void **state)
{
    (void)state;
    struct throttle *t = throttle_new();
    char name[32];
    for (int i = 0; i < 10 * THROTTLE_MAX_ENTRIES; i++) {
        int n = snprintf(name, sizeof name, "user%d@example.com", i);
        throttle_failed(t, str_of(name, (size_t)n), str_of(name, (size_t)n), 1000 * S + i);
    }
    throttle_free(t); /* the sanitizers and the fixed table are the judges */
}

/* Contract §1.10 and §7.2. */
static void emails_that_the_dashboard_takes(void **state)
{
    (void)state;
    static const char *const good[] = {"admin@picket.local", "bench@test.local", "a.b+c@sub.example.com", "o'neil@x-y.org"};
    static const char *const bad[] = {"",         "a",         "a@b",       "admin@localhost", ".a@b.co",  "a..b@c.com",
                                      "a.@b.com", "a%b@c.com", "a b@c.com", "a@b@c.com",       "a@-b.com", "a@b-.com",
                                      "a@.com",   "a@b.c",     "a@b.1om",   "\xC3\xA9@b.com",  "a@b.com ", "a@b..com"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_true(email_is_valid(str_from(good[i])));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(email_is_valid(str_from(bad[i])));
}

static void scopes_have_names(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SCOPES; i++)
        assert_int_equal(scope_parse(str_from(scope_name((enum scope)i))), scope_bit((enum scope)i));
    assert_int_equal(scope_parse(STR("event:*")), scope_bit(SCOPE_EVENT_READ) | scope_bit(SCOPE_EVENT_WRITE));
    static const char *const none[] = {"",           "*",      ":*",  "event",  "event:", "event:rea", "event:read ",
                                       "Event:read", "event*", "e:*", "admin:*"};
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        assert_int_equal(scope_parse(str_from(none[i])), 0);
}

static void scopes_of_an_array(void **state)
{
    (void)state;
    AUTO_BUF struct buf out = {0};
    scopes_format(scopes_of_array(STR("{admin,event:read,of:later,event:*}")), ", ", &out); /* an asterisk is not stored */
    assert_string_equal(buf_cstr(&out), "event:read, admin");
    static const char *const none[] = {"", "{", "{}", "{,}", "{\"\"}"};
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        assert_int_equal(scopes_of_array(str_from(none[i])), 0);
}

static void each_role_may_what_the_one_before_may(void **state)
{
    (void)state;
    enum role role;
    for (unsigned i = 0; i < ROLES; i++) {
        assert_true(role_parse(str_from(role_name((enum role)i)), &role));
        assert_int_equal(role, i);
        assert_int_equal(i > 0 ? role_scopes((enum role)(i - 1)) & ~role_scopes(role) : 0, 0);
    }
    assert_false(role_parse(STR("Owner"), &role));
    assert_false(role_parse(STR(""), &role));
    assert_int_equal(role_scopes(ROLE_MEMBER) & (scope_bit(SCOPE_ADMIN) | scope_bit(SCOPE_PROJECT_ADMIN)), 0);
}

/* Goes through all scopes: a new one is closed until somebody opens it here, too. */
static void what_is_kept_to_projects_is_open_by_name_only(void **state)
{
    (void)state;
    static const struct str token[] = {STR("project:read"), STR("event:read")};
    static const struct str user[] = {STR("project:read"), STR("event:read"), STR("project:write"), STR("alert:read")};
    for (unsigned i = 0; i < SCOPES; i++) {
        struct str name = str_from(scope_name((enum scope)i));
        bool to_token = false, to_user = false;
        for (size_t k = 0; k < ARRAY_LEN(token); k++)
            to_token = to_token || str_eq(token[k], name);
        for (size_t k = 0; k < ARRAY_LEN(user); k++)
            to_user = to_user || str_eq(user[k], name);
        assert_int_equal(scope_is_open((enum scope)i, SCOPE_KEPT_TOKEN), to_token);
        assert_int_equal(scope_is_open((enum scope)i, SCOPE_KEPT_USER), to_user);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(session_is_43_url_safe_characters),
        cmocka_unit_test(bearer_header_is_exact),
        cmocka_unit_test(cookie_is_found_among_others),
        cmocka_unit_test(password_verifies_only_itself),
        cmocka_unit_test(unknown_account_costs_a_verification),
        cmocka_unit_test(random_passwords_are_long_and_differ),
        cmocka_unit_test(throttle_counts_three_quick_failures_as_one),
        cmocka_unit_test(throttle_is_not_fooled_by_a_flood_in_one_second),
        cmocka_unit_test(throttle_counts_addresses_over_accounts),
        cmocka_unit_test(throttle_counts_a_network_of_ipv6_as_one),
        cmocka_unit_test(throttle_forgets_after_success),
        cmocka_unit_test(throttle_is_bounded),
        cmocka_unit_test(emails_that_the_dashboard_takes),
        cmocka_unit_test(scopes_have_names),
        cmocka_unit_test(scopes_of_an_array),
        cmocka_unit_test(each_role_may_what_the_one_before_may),
        cmocka_unit_test(what_is_kept_to_projects_is_open_by_name_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
