/* payload.c: packing and unpacking stored payloads.
 *
 * An event of a few KB begins with nothing that zstd could refer back to: half of what it becomes are names that all events have. Dictionaries have
 * them. The first is made of recorded traffic of SDKs and is part of the binary; it knows SDKs and no program. Measured with events of SDKs whose traffic
 * it was not made of: 0.33 of the size in 7.1 µs, without it 0.51 in 7.6. Level 3 with it, because six rows fit a page then and not five.
 *
 * Events of one program are alike: the same functions, files, modules. A project's own dictionary (digest/dictionaries.c) has these, and then level 1 finds as
 * much as higher ones. Its text is chosen among outlines (event/outline.h), in which nobody's words are; only its tables of how often which byte comes are of
 * whole payloads.
 *
 * Above PAYLOAD_DICTIONARY_PAYLOAD_MAX an event has enough of its own, and preparing the tables costs more than is gained (25 KB: 80 µs for 66).
 *
 * A frame names the dictionary by number, so rows of all releases are read, and so are those from before there was one. */
#include "picket/protocol/payload.h"

#include <zdict.h>
#include <zstd.h>

#include "payload_embedded.h"
#include "picket/base/error.h"
#include "picket/protocol/encoding.h"

enum { LEVEL = 1, LEVEL_EMBEDDED = 3, LEVEL_OWN = 1, EMBEDDED = 1 };

struct payload_dictionary {
    ZSTD_CDict *prepared;
};

struct payload_packer {
    ZSTD_CCtx *context;
    ZSTD_CDict *embedded;
};

unsigned payload_dictionary_number(struct str stored)
{
    unsigned number = ZSTD_getDictID_fromDict(stored.p, stored.n);
    return number ? number : ZSTD_getDictID_fromFrame(stored.p, stored.n);
}

struct payload_dictionary *payload_dictionary_new(struct str content)
{
    unsigned number = ZSTD_getDictID_fromDict(content.p, content.n);
    if (number < PAYLOAD_DICTIONARY_FIRST || number > PAYLOAD_DICTIONARY_LAST)
        return NULL;
    ZSTD_CDict *prepared = ZSTD_createCDict(content.p, content.n, LEVEL_OWN); /* NULL: damaged */
    struct payload_dictionary *d = prepared ? malloc(sizeof *d) : NULL;
    if (prepared && !d)
        abort();
    if (d)
        d->prepared = prepared;
    return d;
}

void payload_dictionary_free(struct payload_dictionary *d)
{
    if (!d)
        return;
    (void)ZSTD_freeCDict(d->prepared); /* this and its like cannot fail on what is their own */
    free(d);
}

struct payload_packer *payload_packer_new(void)
{
    const struct payload_embedded *d = &payload_embedded_1;
    struct payload_packer *p = malloc(sizeof *p);
    if (!p)
        abort();
    *p = (struct payload_packer){ZSTD_createCCtx(), ZSTD_createCDict(d->bytes, d->n, LEVEL_EMBEDDED)};
    if (!p->context || !p->embedded)
        abort();
    return p;
}

void payload_packer_free(struct payload_packer *p)
{
    if (!p)
        return;
    (void)ZSTD_freeCDict(p->embedded);
    (void)ZSTD_freeCCtx(p->context);
    free(p);
}

void payload_pack(struct payload_packer *p, const struct payload_dictionary *own, struct str in, struct buf *out)
{
    size_t bound = ZSTD_compressBound(in.n);
    buf_reserve(out, bound);
    char *to = out->p + out->n;
    size_t n = in.n <= PAYLOAD_DICTIONARY_PAYLOAD_MAX
                   ? ZSTD_compress_usingCDict(p->context, to, bound, in.p, in.n, own ? own->prepared : p->embedded)
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

/* The dictionary with that number; none: n is 0. */
static struct str dictionary_of(unsigned number, struct str own)
{
    if (number == EMBEDDED)
        return str_of((const char *)payload_embedded_1.bytes, payload_embedded_1.n);
    return number >= PAYLOAD_DICTIONARY_FIRST && ZSTD_getDictID_fromDict(own.p, own.n) == number ? own : STR("");
}

int payload_unpack(struct str stored, struct str own, size_t max_bytes, struct buf *out)
{
    unsigned number = ZSTD_getDictID_fromFrame(stored.p, stored.n);
    uint64_t size = payload_size(stored);
    if (size > max_bytes)
        return -ERR_TOO_LARGE;
    buf_reserve(out, (size_t)size + 1); /* exactly: the decoder of request bodies would grow to nearly twice that */
    if (number == 0)
        return encoding_decode(ENCODING_ZSTD, stored, max_bytes, out);
    struct str d = dictionary_of(number, own);
    if (d.n == 0)
        return -ERR_CORRUPT_BODY;
    ZSTD_DCtx *context = ZSTD_createDCtx();
    if (!context)
        abort();
    size_t n = ZSTD_decompress_usingDict(context, out->p + out->n, (size_t)size, stored.p, stored.n, d.p, d.n);
    (void)ZSTD_freeDCtx(context);
    if (ZSTD_isError(n) || n != size)
        return -ERR_CORRUPT_BODY;
    out->n += n;
    return 0;
}

/* zstd chooses the text, and makes the tables anew for what will be packed. */
bool payload_train(const struct payload_samples *outlines, const struct payload_samples *payloads, unsigned number, struct buf *out)
{
    assert(number >= PAYLOAD_DICTIONARY_FIRST && number <= PAYLOAD_DICTIONARY_LAST);
    char chosen[PAYLOAD_DICTIONARY_BYTES];
    size_t n = ZDICT_trainFromBuffer(chosen, sizeof chosen, outlines->text.p, outlines->sizes, outlines->n);
    size_t head = ZDICT_isError(n) ? n : ZDICT_getDictHeaderSize(chosen, n);
    if (ZDICT_isError(head) || head >= n)
        return false;
    buf_reserve(out, PAYLOAD_DICTIONARY_BYTES);
    n = ZDICT_finalizeDictionary(out->p + out->n, PAYLOAD_DICTIONARY_BYTES, chosen + head, n - head, payloads->text.p, payloads->sizes,
                                 payloads->n, (ZDICT_params_t){.compressionLevel = LEVEL_OWN, .dictID = number});
    if (ZDICT_isError(n))
        return false;
    out->n += n;
    return true;
}
