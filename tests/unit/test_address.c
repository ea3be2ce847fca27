/* test_address.c: client addresses (protocol §1.4 notes) and trusted proxies. A row of data/address.jsonl is a text and its address; without one it is none. */
#include "byte_cases.h"

#include "picket/base/ip.h"
#include "picket/http/address.h"

static bool check_row(const struct byte_case *c)
{
    uint8_t addr[16];
    char text[IP_TEXT_MAX];
    struct str got = STR("");
    if (http_address_parse(case_bytes(c, STR("text")), addr))
        got = str_of(text, ip_format(addr, text));
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

/* p == NULL where the row does not say. */
static struct str header_of(const struct byte_case *c, struct str name)
{
    return json_get(c->row, name) ? case_bytes(c, name) : (struct str){NULL, 0};
}

/* "trusted", "form", "peer" and "hops" of a row, and who the "client" is then; of form "either" the headers are "x" and "forwarded". */
static bool check_hops(const struct byte_case *c)
{
    struct http_networks trusted;
    struct str bad;
    uint8_t addr[16];
    char text[IP_TEXT_MAX];
    struct str hops = case_bytes(c, STR("hops"));
    enum http_hops form = str_eq(case_bytes(c, STR("form")), STR("forwarded")) ? HTTP_FORWARDED : HTTP_X_FORWARDED_FOR;
    if (!http_networks_parse(case_bytes(c, STR("trusted")), c->arena, &trusted, &bad) ||
        !http_address_parse(case_bytes(c, STR("peer")), addr))
        return case_str(c, "row", STR("malformed"), STR(""));
    if (str_eq(case_bytes(c, STR("form")), STR("either")))
        http_address_forwarded(&trusted, header_of(c, STR("x")), header_of(c, STR("forwarded")), addr);
    else
        http_address_behind(&trusted, form, hops, addr);
    return case_str(c, "client", str_of(text, ip_format(addr, text)), case_bytes(c, STR("client")));
}

static void believes_trusted_hops_only(void **state)
{
    (void)state;
    run_byte_cases("hops.jsonl", check_hops);
}

/* "bad": the part of "list" that is no network, else "inside" is in it and "outside" is not. */
static bool check_networks(const struct byte_case *c)
{
    struct http_networks networks;
    struct str bad = STR("");
    uint8_t addr[16];
    bool ok = http_networks_parse(case_bytes(c, STR("list")), c->arena, &networks, &bad);
    if (!ok || case_bytes(c, STR("bad")).n)
        return case_str(c, "bad part", bad, case_bytes(c, STR("bad")));
    struct str inside = case_bytes(c, STR("inside")), outside = case_bytes(c, STR("outside"));
    bool in = inside.n == 0 || (http_address_parse(inside, addr) && http_networks_have(&networks, addr));
    bool out = outside.n == 0 || (http_address_parse(outside, addr) && !http_networks_have(&networks, addr));
    return case_int(c, "inside", in, true) && case_int(c, "outside", out, true);
}

static void reads_networks(void **state)
{
    (void)state;
    run_byte_cases("networks.jsonl", check_networks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_the_table),
        cmocka_unit_test(maps_ipv4),
        cmocka_unit_test(believes_trusted_hops_only),
        cmocka_unit_test(reads_networks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
