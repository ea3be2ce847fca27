/* test_payload.c: the form of stored payloads. */
#include "byte_cases.h"

#include <zstd.h>

#include "picket/base/error.h"
#include "picket/protocol/payload.h"

static const char event[] = "{\"event_id\":\"2ac60833ed544b4ebd584e8c10facc28\",\"platform\":\"python\",\"exception\":{\"values\":[{"
                            "\"type\":\"KeyError\",\"value\":\"'total'\"}]}}";

static void what_was_packed_comes_back(void **state)
{
    (void)state;
    struct payload_packer *p = payload_packer_new();
    AUTO_BUF struct buf text = {0};
    for (size_t size = 0; size < 300000; size = size * 3 + 1) {
        AUTO_BUF struct buf frame = {0}, back = {0};
        while (text.n < size)
            buf_append_char(&text, (char)(text.n * text.n / 7));
        buf_append_str(&frame, STR("kept"));
        buf_append_str(&back, STR("kept"));
        payload_pack(p, NULL, buf_str(&text), &frame);
        struct str stored = str_drop(buf_str(&frame), 4);
        assert_int_equal(payload_size(stored), text.n);
        assert_int_equal(payload_unpack(stored, STR(""), text.n, &back), 0);
        assert_true(str_eq(str_drop(buf_str(&back), 4), buf_str(&text)));
        if (size > 0)
            assert_int_equal(payload_unpack(stored, STR(""), text.n - 1, &back), -ERR_TOO_LARGE);
        assert_int_equal(back.n, text.n + 4);
    }
    payload_packer_free(p);
    payload_packer_free(NULL);
}

/* Rows of a release that had no dictionary, and what the dictionary is for. */
static void rows_of_before(void **state)
{
    (void)state;
    char frame[ZSTD_COMPRESSBOUND(sizeof event)];
    AUTO_BUF struct buf packed = {0}, back = {0};
    struct payload_packer *p = payload_packer_new();
    size_t n = ZSTD_compress(frame, sizeof frame, event, sizeof event - 1, 1);
    assert_int_equal(payload_unpack(str_of(frame, n), STR(""), sizeof event, &back), 0);
    assert_true(str_eq(buf_str(&back), str_from(event)));
    payload_pack(p, NULL, str_from(event), &packed);
    assert_int_not_equal(ZSTD_getDictID_fromFrame(packed.p, packed.n), 0);
    assert_true(packed.n < n * 7 / 10);
    payload_packer_free(p);
}

static void damage(void **state)
{
    (void)state;
    AUTO_BUF struct buf packed = {0}, back = {0};
    struct payload_packer *p = payload_packer_new();
    payload_pack(p, NULL, str_from(event), &packed);
    payload_packer_free(p);
    assert_int_equal(payload_size(STR("no frame")), 0);
    assert_int_equal(payload_size(STR("")), 0);
    assert_int_equal(payload_unpack(STR(""), STR(""), 100, &back), -ERR_CORRUPT_BODY);
    assert_int_equal(payload_unpack(STR("no frame"), STR(""), 100, &back), -ERR_CORRUPT_BODY);
    assert_int_equal(payload_unpack(str_of(packed.p, packed.n - 1), STR(""), sizeof event, &back), -ERR_CORRUPT_BODY);
    buf_append_char(&packed, 'x');
    assert_int_equal(payload_unpack(buf_str(&packed), STR(""), sizeof event, &back), -ERR_CORRUPT_BODY);
    packed.n--;
    packed.p[5]++; /* RFC 8878 §3.1.1.1: behind magic number and descriptor stands the dictionary's */
    assert_int_equal(payload_unpack(buf_str(&packed), STR(""), sizeof event, &back), -ERR_CORRUPT_BODY);
    assert_int_equal(back.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_packed_comes_back),
        cmocka_unit_test(rows_of_before),
        cmocka_unit_test(damage),
    };
    return cmocka_run_group_tests_name("payload", tests, NULL, NULL);
}
