/* fuzz_encoding.c: the first byte chooses the encoding, the rest is the body. Output never exceeds the limit, a refused body leaves the
 * buffer as it was, and what we compress comes back. */
#include "fuzz.h"

#include "picket/base/error.h"
#include "picket/protocol/encoding.h"
#include "picket/protocol/payload.h"

enum { MAX_BYTES = 1 << 20 };

static void check_decode(enum content_encoding enc, struct str in)
{
    AUTO_BUF struct buf out = {0};
    buf_append(&out, "kept", 4);
    int r = encoding_decode(enc, in, MAX_BYTES, &out);
    assert(r == 0 || r == -ERR_CORRUPT_BODY || r == -ERR_TOO_LARGE);
    assert(out.n >= 4 && out.n - 4 <= MAX_BYTES && str_starts(buf_str(&out), STR("kept")));
    assert(r == 0 || out.n == 4);
    if (r == 0 && enc != ENCODING_IDENTITY && out.n > 4) { /* exactly its own size is enough, one byte less is not */
        AUTO_BUF struct buf again = {0};
        int fits = encoding_decode(enc, in, out.n - 4, &again), less = encoding_decode(enc, in, out.n - 5, &again);
        assert(fits == 0 && less == -ERR_TOO_LARGE && again.n == out.n - 4);
    }
}

/* What is seen of the beginning is the beginning. */
static void check_peek(enum content_encoding enc, struct str in, size_t max)
{
    AUTO_BUF struct buf whole = {0}, start = {0};
    if (enc == ENCODING_IDENTITY || encoding_decode(enc, in, MAX_BYTES, &whole) < 0)
        return;
    int r = encoding_peek(enc, in, max, &start);
    assert(r == 0 && start.n <= max && start.n <= whole.n && str_starts(buf_str(&whole), buf_str(&start)));
}

static void check_round_trip(struct str in)
{
    struct payload_packer *p = payload_packer_new();
    AUTO_BUF struct buf frame = {0}, back = {0};
    payload_pack(p, NULL, in, &frame);
    int r = payload_unpack(buf_str(&frame), STR(""), in.n, &back);
    assert(r == 0 && str_eq(buf_str(&back), in));
    payload_packer_free(p);
    buf_clear(&back);
    r = payload_unpack(in, STR(""), MAX_BYTES, &back); /* of a row that was damaged */
    assert((r == 0 && back.n <= MAX_BYTES) || (r < 0 && back.n == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum content_encoding enc;
    struct str in = {(const char *)data, size};
    if (size == 0)
        return 0;
    check_decode((enum content_encoding)(data[0] % 7), str_drop(in, 1));
    check_peek((enum content_encoding)(data[0] % 7), str_drop(in, 1), 100);
    check_round_trip(in);
    if (encoding_parse(in, &enc) == 0)
        assert(enc <= ENCODING_ZSTD);
    return 0;
}
