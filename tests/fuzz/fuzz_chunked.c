/* fuzz_chunked.c: a chunked body in pieces. However it is cut, the same bytes come out and the same bytes are left; nothing comes out that was not
 * in it, in order; and what we chunk is read back. The first byte of the input says how long pieces are. */
#include "fuzz.h"

#include "picket/base/buf.h"
#include "picket/http/chunked.h"

static ssize_t decode(struct str in, size_t step, struct buf *ret_body, struct buf *ret_rest)
{
    struct phr_chunked_decoder d = {.consume_trailer = 1};
    ssize_t r = -2;
    while (r == -2 && in.n > 0) {
        struct str part = str_take(in, step);
        in = str_drop(in, part.n);
        size_t n = part.n;
        AUTO_FREE char *bytes = malloc(part.n); /* of its exact size: a sanitizer sees what lies behind */
        assert(bytes);
        memcpy(bytes, part.p, part.n);
        r = phr_decode_chunked(&d, bytes, &n);
        assert(n + (size_t)(r > 0 ? r : 0) <= part.n);
        buf_append(ret_body, bytes, n);
        if (r >= 0)
            buf_append(ret_rest, bytes + n, (size_t)r);
    }
    if (r >= 0)
        buf_append_str(ret_rest, in);
    return r >= 0 ? 0 : r;
}

static void check_pieces(struct str in, size_t step)
{
    AUTO_BUF struct buf whole = {0}, whole_rest = {0}, pieces = {0}, pieces_rest = {0};
    ssize_t one = decode(in, in.n, &whole, &whole_rest), many = decode(in, step, &pieces, &pieces_rest);
    assert(one == many && str_eq(buf_str(&whole), buf_str(&pieces)) && str_eq(buf_str(&whole_rest), buf_str(&pieces_rest)));
    assert(one != 0 || whole.n + whole_rest.n + 5 <= in.n);
    assert(one != 0 || (str_ends(in, buf_str(&whole_rest)) && str_ends(str_take(in, in.n - whole_rest.n), STR("\r\n\r\n"))));
}

static void check_round_trip(struct str body, size_t step)
{
    AUTO_BUF struct buf sent = {0}, got = {0}, rest = {0};
    for (struct str left = body; left.n > 0; left = str_drop(left, step)) {
        struct str part = str_take(left, step);
        buf_printf(&sent, "%zx\r\n", part.n);
        buf_append_str(&sent, part);
        buf_append_str(&sent, STR("\r\n"));
    }
    buf_append_str(&sent, STR("0\r\n\r\nrest"));
    ssize_t r = decode(buf_str(&sent), 3, &got, &rest);
    assert(r == 0 && str_eq(buf_str(&got), body) && str_eq(buf_str(&rest), STR("rest")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct str in = str_of((const char *)data + 1, size - 1);
    check_pieces(in, 1 + data[0] % 16);
    check_round_trip(in, 1 + data[0]);
    return 0;
}
