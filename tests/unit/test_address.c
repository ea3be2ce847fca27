/* test_address.c: client addresses (protocol §1.4 notes). A row of data/address.jsonl is a text and its address; without one it is none. */
#include "byte_cases.h"

#include "picket/http/address.h"

static bool check_row(const struct byte_case *c)
{
    uint8_t addr[16];
    char text[HTTP_ADDRESS_MAX];
    struct str got = STR("");
    if (http_address_parse(case_bytes(c, STR("text")), addr))
        got = str_of(text, http_address_format(addr, text));
    return case_str(c, "address", got, case_bytes(c, STR("address")));
}

static void follows_the_table(void **state)
{
    (void)state;
    run_byte_cases("address.jsonl", check_row);
}

static void maps_ipv4(void **state)
{
    (void)state;
    static const uint8_t want[16] = {[10] = 0xff, [11] = 0xff, [12] = 203, [13] = 0, [14] = 113, [15] = 7};
    uint8_t addr[16];
    assert_true(http_address_parse(STR("203.0.113.7"), addr));
    assert_memory_equal(addr, want, sizeof want);
}

static void takes_the_first_forwarded_address(void **state)
{
    (void)state;
    uint8_t addr[16];
    char text[HTTP_ADDRESS_MAX];
    assert_true(http_address_forwarded(STR("unknown, 198.51.100.1, 10.0.0.1"), addr));
    http_address_format(addr, text);
    assert_string_equal(text, "198.51.100.1");
    assert_false(http_address_forwarded(STR(""), addr));
    assert_false(http_address_forwarded(STR("unknown,,"), addr));
}

static void takes_what_the_proxy_wrote(void **state)
{
    (void)state;
    uint8_t addr[16];
    char text[HTTP_ADDRESS_MAX];
    assert_true(http_address_proxied(STR("198.51.100.1, 10.0.0.1,  203.0.113.7"), addr));
    http_address_format(addr, text);
    assert_string_equal(text, "203.0.113.7");
    assert_true(http_address_proxied(STR("2001:db8::1"), addr));
    assert_false(http_address_proxied(STR("198.51.100.1, unknown"), addr));
    assert_false(http_address_proxied(STR("198.51.100.1,"), addr));
    assert_false(http_address_proxied(STR(""), addr));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_the_table),
        cmocka_unit_test(maps_ipv4),
        cmocka_unit_test(takes_the_first_forwarded_address),
        cmocka_unit_test(takes_what_the_proxy_wrote),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
