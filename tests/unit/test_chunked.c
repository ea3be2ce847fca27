/* test_chunked.c: chunked bodies, RFC 9112 §7.1. A row of data/chunked.jsonl is what is sent; it gives `body` and leaves `rest`, or wants more
 * ("open"), or is malformed ("broken"). Every row is fed in one piece, byte by byte and cut at every place: that must make no difference. */
#include "byte_cases.h"

#include "picket/base/buf.h"
#include "picket/http/chunked.h"

/* Feeds `in` in pieces of `first`, then `step` bytes, as libh2o does: the bytes that are left stand behind the decoded ones. */
static ssize_t decode(struct str in, size_t first, size_t step, struct buf *ret_body, struct buf *ret_rest)
{
    struct phr_chunked_decoder d = {.consume_trailer = 1};
    ssize_t r = -2;
    for (size_t piece = first; r == -2 && in.n > 0; piece = step) {
        struct str part = str_take(in, piece);
        in = str_drop(in, part.n);
        AUTO_FREE char *bytes = malloc(part.n + 1);
        assert_non_null(bytes);
        memcpy(bytes, part.p, part.n);
        size_t n = part.n;
        r = phr_decode_chunked(&d, bytes, &n);
        assert_true(n + (size_t)(r > 0 ? r : 0) <= part.n);
        buf_append(ret_body, bytes, n);
        if (r >= 0)
            buf_append(ret_rest, bytes + n, (size_t)r);
    }
    buf_append_str(ret_rest, in);
    return r;
}

static bool check_cut(const struct byte_case *c, size_t first, size_t step)
{
    AUTO_BUF struct buf body = {0}, rest = {0};
    bool open, broken, is_open = json_bool(json_get(c->row, STR("open")), &open),
                       is_broken = json_bool(json_get(c->row, STR("broken")), &broken);
    ssize_t r = decode(case_bytes(c, STR("in")), first, step, &body, &rest);
    if (!case_int(c, "result", r < 0 ? r : 0, is_open ? -2 : is_broken ? -1 : 0) || is_broken)
        return is_broken && r == -1;
    return case_str(c, "body", buf_str(&body), case_bytes(c, STR("body"))) &&
           (is_open || case_str(c, "rest", buf_str(&rest), case_bytes(c, STR("rest"))));
}

static bool check_row(const struct byte_case *c)
{
    size_t n = case_bytes(c, STR("in")).n;
    bool fine = check_cut(c, 1, 1);
    for (size_t at = 1; at <= n; at++)
        fine = check_cut(c, at, n) && fine;
    return fine;
}

static void follows_the_table(void **state)
{
    (void)state;
    run_byte_cases("chunked.jsonl", check_row);
}

/* `n` bytes of `c` between two texts. */
static ssize_t decode_long(const char *before, char c, size_t n, const char *after)
{
    AUTO_BUF struct buf in = {0}, body = {0}, rest = {0};
    buf_append_str(&in, str_from(before));
    for (size_t i = 0; i < n; i++)
        buf_append_char(&in, c);
    buf_append_str(&in, str_from(after));
    return decode(buf_str(&in), in.n, in.n, &body, &rest);
}

static void bounds_lines(void **state)
{
    (void)state;
    assert_int_equal(decode_long("0;", 'a', 100, "\r\n\r\n"), 0);
    assert_int_equal(decode_long("0;", 'a', 101, "\r\n\r\n"), -1);
    assert_int_equal(decode_long("0\r\nA:", 'a', 8190, "\r\n\r\n"), 0);
    assert_int_equal(decode_long("0\r\nA:", 'a', 8191, "\r\n\r\n"), -1);
    assert_int_equal(decode_long("10000\r\n", 'a', 65536, "\r\n0\r\n\r\n"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_the_table),
        cmocka_unit_test(bounds_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
