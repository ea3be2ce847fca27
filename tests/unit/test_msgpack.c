/* test_msgpack.c: MessagePack into JSON. A row of data/msgpack.jsonl is the bytes in hex and the JSON of the values that come out of them, one behind the
 * other; "error": what stands behind the last of them cannot be read. */
#include "byte_cases.h"

#include "picket/protocol/msgpack.h"

static bool check_row(const struct byte_case *c)
{
    AUTO_BUF struct buf out = {0};
    struct str hex = case_bytes(c, STR("hex")), rest;
    AUTO_FREE uint8_t *exact = malloc(hex.n / 2 + 1); /* of its exact size: a sanitizer sees the first byte read beyond */
    int r = 0;
    assert_true(str_hex_decode(hex, exact, hex.n / 2));
    rest = str_of((char *)exact, hex.n / 2);
    for (size_t i = 0; rest.n && r == 0; i++) {
        struct str before = rest;
        size_t length = out.n;
        if (i)
            buf_append_char(&out, ' ');
        r = msgpack_read(&rest, &out);
        if (r < 0) {
            assert_true(rest.p == before.p && rest.n == before.n);
            out.n = length;
        }
    }
    return case_result(c, r) && case_str(c, "JSON", buf_str(&out), case_bytes(c, STR("json")));
}

static void reads_the_table(void **state)
{
    (void)state;
    run_byte_cases("msgpack.jsonl", check_row);
}

static int read_nested(unsigned depth)
{
    AUTO_BUF struct buf in = {0};
    AUTO_BUF struct buf out = {0};
    for (unsigned i = 0; i < depth; i++)
        buf_append_char(&in, (char)0x91);
    buf_append_char(&in, 1);
    struct str rest = buf_str(&in);
    return msgpack_read(&rest, &out);
}

static void bounds_the_depth(void **state)
{
    (void)state;
    assert_int_equal(read_nested(MSGPACK_MAX_DEPTH), 0);
    assert_int_equal(read_nested(MSGPACK_MAX_DEPTH + 1), -ERR_BAD_MSGPACK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_table),
        cmocka_unit_test(bounds_the_depth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
