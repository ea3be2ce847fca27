/* payload.c: packing and unpacking stored payloads.
 *
 * An event of a few KB begins with nothing that zstd could refer back to: half of what it becomes are names that all events have. A dictionary
 * has them. It is made of recorded traffic of SDKs and is part of the binary: nothing to keep beside the rows, and nothing of anybody's events in it, which one
 * that an installation makes of its own would have to forget with the person whose words they are. (That one would halve the rest: events of one program are
 * alike.) Measured with events of SDKs whose traffic it was not made of: 0.33 of the size in 7.1 µs, without it 0.51 in 7.6; with 4.2 KB of the benchmark's: 0.26 in
 * 13.0 µs, and 0.32 in 14.2. Level 3 with it, because six rows fit a page then and not five; level 1 without.
 *
 * Above DICTIONARY_PAYLOAD_MAX an event has enough of its own, and preparing the tables costs more than is gained (25 KB: 80 µs for 66).
 *
 * A frame names the dictionary by number, so rows of all releases are read, and so are those from before there was one. */
#include "picket/protocol/payload.h"

#include <zstd.h>

#include "payload_dictionary.h"
#include "picket/base/error.h"
#include "picket/protocol/encoding.h"

enum { LEVEL = 1, LEVEL_WITH_DICTIONARY = 3, DICTIONARY_PAYLOAD_MAX = 16 << 10, NUMBER = 1 };

struct payload_packer {
    ZSTD_CCtx *context;
    ZSTD_CDict *dictionary;
};

struct payload_packer *payload_packer_new(void)
{
    const struct payload_dictionary *d = &payload_dictionary_1;
    struct payload_packer *p = malloc(sizeof *p);
    if (!p)
        abort();
    *p = (struct payload_packer){ZSTD_createCCtx(), ZSTD_createCDict(d->bytes, d->n, LEVEL_WITH_DICTIONARY)};
    if (!p->context || !p->dictionary)
        abort();
    return p;
}

void payload_packer_free(struct payload_packer *p)
{
    if (!p)
        return;
    (void)ZSTD_freeCDict(p->dictionary); /* these cannot fail on what is their own */
    (void)ZSTD_freeCCtx(p->context);
    free(p);
}

void payload_pack(struct payload_packer *p, struct str in, struct buf *out)
{
    size_t bound = ZSTD_compressBound(in.n);
    buf_reserve(out, bound);
    char *to = out->p + out->n;
    size_t n = in.n <= DICTIONARY_PAYLOAD_MAX ? ZSTD_compress_usingCDict(p->context, to, bound, in.p, in.n, p->dictionary)
                                              : ZSTD_compressCCtx(p->context, to, bound, in.p, in.n, LEVEL);
    if (ZSTD_isError(n))
        abort(); /* room is by its own formula, so only memory can be missing */
    out->n += n;
}

uint64_t payload_size(struct str stored)
{
    unsigned long long n = ZSTD_getFrameContentSize(stored.p, stored.n);
    return n == ZSTD_CONTENTSIZE_UNKNOWN || n == ZSTD_CONTENTSIZE_ERROR ? 0 : n;
}

int payload_unpack(struct str stored, size_t max_bytes, struct buf *out)
{
    const struct payload_dictionary *d = &payload_dictionary_1;
    unsigned number = ZSTD_getDictID_fromFrame(stored.p, stored.n);
    uint64_t size = payload_size(stored);
    if (size > max_bytes)
        return -ERR_TOO_LARGE;
    buf_reserve(out, (size_t)size + 1); /* exactly: the decoder of request bodies would grow to nearly twice that */
    if (number == 0)
        return encoding_decode(ENCODING_ZSTD, stored, max_bytes, out);
    if (number != NUMBER)
        return -ERR_CORRUPT_BODY;
    ZSTD_DCtx *context = ZSTD_createDCtx();
    if (!context)
        abort();
    size_t n = ZSTD_decompress_usingDict(context, out->p + out->n, (size_t)size, stored.p, stored.n, d->bytes, d->n);
    (void)ZSTD_freeDCtx(context);
    if (ZSTD_isError(n) || n != size)
        return -ERR_CORRUPT_BODY;
    out->n += n;
    return 0;
}
