/* encoding.c: undoing content encodings with bounded output.
 *
 * Six libraries, one loop. Each decoder is a step: consume some input, fill some room, say whether there is more, it is over, or it is
 * damaged. The loop owns the limit: room never exceeds what may still come out, and when all of it has come out the decoder gets one
 * last byte of room of its own – if it fills that, the output is too large. So a bomb costs max_bytes at most, and sizes that the
 * input claims for itself are never believed. Room grows with what has really come out.
 *
 * Every step makes progress or ends: a decoder that wants input when there is none reports damage (the body is cut short). */
#include "picket/protocol/encoding.h"

#include <brotli/decode.h>
#include <bzlib.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "picket/base/error.h"

enum {
    STEP_BYTES_MAX = 1 << 30, /* zlib counts in unsigned int */
    FIRST_ROOM = 4096,
    ZSTD_WINDOW_LOG_MAX = 23, /* 8 MiB, what RFC 8878 §3.1.1.1.2 asks every decoder to take; `zstd -19` uses no more */
    XZ_MEMORY_MAX = 34 << 20, /* for a dictionary of 32 MiB, that of `xz -8`: anonymous memory, and once for each worker */
};

enum step { STEP_MORE, STEP_END, STEP_CORRUPT, STEP_TOO_LARGE };

struct decoder {
    enum step (*step)(struct decoder *d, char *dst, size_t room, size_t *ret_made);
    void (*close)(struct decoder *d);
    struct str in; /* not yet consumed */
    z_stream z;
    bool members; /* gzip: another member may follow the first */
    BrotliDecoderState *br;
    ZSTD_DCtx *zstd;
    lzma_stream xz;
    bz_stream bz;
};

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

int encoding_parse(struct str header, enum content_encoding *ret)
{
    static const struct {
        struct str name;
        enum content_encoding encoding;
    } known[] = {
        {{"", 0}, ENCODING_IDENTITY}, {{"identity", 8}, ENCODING_IDENTITY}, {{"utf-8", 5}, ENCODING_IDENTITY},
        {{"gzip", 4}, ENCODING_GZIP}, {{"x-gzip", 6}, ENCODING_GZIP},       {{"deflate", 7}, ENCODING_DEFLATE},
        {{"br", 2}, ENCODING_BR},     {{"zstd", 4}, ENCODING_ZSTD},
    };
    header = str_trim(header);
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (str_eq_nocase(header, known[i].name)) {
            *ret = known[i].encoding;
            return 0;
        }
    }
    return -ERR_BAD_ENCODING;
}

enum content_encoding encoding_of_file(struct str bytes)
{
    if (str_starts(bytes, STR("\x1F\x8B")))
        return ENCODING_GZIP;
    if (str_starts(bytes, STR("\xFD"
                              "7zXZ\0")))
        return ENCODING_XZ;
    if (str_starts(bytes, STR("BZh")))
        return ENCODING_BZIP2;
    return str_starts(bytes, STR("\x28\xB5\x2F\xFD")) ? ENCODING_ZSTD : ENCODING_IDENTITY;
}

/* ---- zlib: gzip and deflate */

static enum step inflate_step(struct decoder *d, char *dst, size_t room, size_t *ret_made)
{
    size_t given = smaller(d->in.n, STEP_BYTES_MAX);
    room = smaller(room, STEP_BYTES_MAX);
    d->z.next_in = (Bytef *)d->in.p;
    d->z.avail_in = (uInt)given;
    d->z.next_out = (Bytef *)dst;
    d->z.avail_out = (uInt)room;
    int r = inflate(&d->z, Z_NO_FLUSH);
    if (r == Z_MEM_ERROR)
        abort();
    d->in = str_drop(d->in, given - d->z.avail_in);
    *ret_made = room - d->z.avail_out;
    if (r == Z_OK)
        return STEP_MORE;
    if (r != Z_STREAM_END) /* Z_BUF_ERROR among them: no input left, and the stream is not over */
        return STEP_CORRUPT;
    if (d->in.n == 0)
        return STEP_END;
    if (!d->members || !str_starts(d->in, STR("\x1F\x8B")))
        return STEP_CORRUPT;
    r = inflateReset(&d->z);
    assert(r == Z_OK);
    return STEP_MORE;
}

static void inflate_close(struct decoder *d)
{
    (void)inflateEnd(&d->z); /* reports only that the stream was not over */
}

static void inflate_open(struct decoder *d, int window_bits)
{
    d->step = inflate_step;
    d->close = inflate_close;
    if (inflateInit2(&d->z, window_bits) != Z_OK)
        abort(); /* out of memory: the parameters are ours */
}

/* RFC 1950 §2.2. A raw deflate stream does not start like this: it would be a stored block with padding bits that nobody sets. */
static bool has_zlib_header(struct str s)
{
    unsigned cmf = s.n > 0 ? (unsigned char)s.p[0] : 0, flg = s.n > 1 ? (unsigned char)s.p[1] : 0;
    return (cmf & 0x0F) == Z_DEFLATED && cmf >> 4 <= 7 && (cmf << 8 | flg) % 31 == 0;
}

/* ---- brotli */

static enum step brotli_step(struct decoder *d, char *dst, size_t room, size_t *ret_made)
{
    size_t avail_in = d->in.n, avail_out = room;
    const uint8_t *in = (const uint8_t *)d->in.p;
    uint8_t *out = (uint8_t *)dst;
    BrotliDecoderResult r = BrotliDecoderDecompressStream(d->br, &avail_in, &in, &avail_out, &out, NULL);
    d->in = str_drop(d->in, d->in.n - avail_in);
    *ret_made = room - avail_out;
    if (r == BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT)
        return STEP_MORE;
    return r == BROTLI_DECODER_RESULT_SUCCESS && d->in.n == 0 ? STEP_END : STEP_CORRUPT;
}

static void brotli_close(struct decoder *d)
{
    BrotliDecoderDestroyInstance(d->br);
}

static void brotli_open(struct decoder *d)
{
    d->step = brotli_step;
    d->close = brotli_close;
    d->br = BrotliDecoderCreateInstance(NULL, NULL, NULL);
    if (!d->br)
        abort();
}

/* ---- zstd */

static enum step zstd_step(struct decoder *d, char *dst, size_t room, size_t *ret_made)
{
    ZSTD_inBuffer in = {d->in.p, d->in.n, 0};
    ZSTD_outBuffer out = {dst, room, 0};
    size_t r = ZSTD_decompressStream(d->zstd, &out, &in);
    if (ZSTD_isError(r))
        return ZSTD_getErrorCode(r) == ZSTD_error_frameParameter_windowTooLarge ? STEP_TOO_LARGE : STEP_CORRUPT;
    d->in = str_drop(d->in, in.pos);
    *ret_made = out.pos;
    if (r == 0) /* a frame is complete; another may follow */
        return d->in.n == 0 ? STEP_END : STEP_MORE;
    return d->in.n > 0 || out.pos == room ? STEP_MORE : STEP_CORRUPT;
}

static void zstd_close(struct decoder *d)
{
    (void)ZSTD_freeDCtx(d->zstd); /* cannot fail on a context of its own */
}

static void zstd_open(struct decoder *d)
{
    d->step = zstd_step;
    d->close = zstd_close;
    d->zstd = ZSTD_createDCtx();
    if (!d->zstd)
        abort();
    size_t r = ZSTD_DCtx_setParameter(d->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
    assert(!ZSTD_isError(r));
}

/* ---- xz */

static enum step xz_step(struct decoder *d, char *dst, size_t room, size_t *ret_made)
{
    d->xz.next_in = (const uint8_t *)d->in.p;
    d->xz.avail_in = d->in.n;
    d->xz.next_out = (uint8_t *)dst;
    d->xz.avail_out = room;
    lzma_ret r = lzma_code(&d->xz, LZMA_FINISH);
    if (r == LZMA_MEM_ERROR)
        abort();
    d->in = str_drop(d->in, d->in.n - d->xz.avail_in);
    *ret_made = room - d->xz.avail_out;
    if (r == LZMA_OK)
        return STEP_MORE;
    if (r == LZMA_MEMLIMIT_ERROR)
        return STEP_TOO_LARGE;
    return r == LZMA_STREAM_END && d->in.n == 0 ? STEP_END : STEP_CORRUPT;
}

static void xz_close(struct decoder *d)
{
    lzma_end(&d->xz);
}

static void xz_open(struct decoder *d)
{
    d->step = xz_step;
    d->close = xz_close;
    if (lzma_stream_decoder(&d->xz, XZ_MEMORY_MAX, LZMA_CONCATENATED) != LZMA_OK)
        abort(); /* out of memory: the parameters are ours */
}

/* ---- bzip2 */

static void bzip2_close(struct decoder *d)
{
    (void)BZ2_bzDecompressEnd(&d->bz); /* fails only for a stream that is none */
}

static void bzip2_start(struct decoder *d)
{
    if (BZ2_bzDecompressInit(&d->bz, 0, 0) != BZ_OK)
        abort(); /* out of memory: the parameters are ours */
}

static enum step bzip2_step(struct decoder *d, char *dst, size_t room, size_t *ret_made)
{
    size_t given = smaller(d->in.n, STEP_BYTES_MAX);
    room = smaller(room, STEP_BYTES_MAX);
    d->bz.next_in = (char *)d->in.p;
    d->bz.avail_in = (unsigned)given;
    d->bz.next_out = dst;
    d->bz.avail_out = (unsigned)room;
    int r = BZ2_bzDecompress(&d->bz);
    if (r == BZ_MEM_ERROR)
        abort();
    d->in = str_drop(d->in, given - d->bz.avail_in);
    *ret_made = room - d->bz.avail_out;
    if (r == BZ_OK) /* it does not say when it wants more input than there is */
        return d->in.n == 0 && *ret_made < room ? STEP_CORRUPT : STEP_MORE;
    if (r != BZ_STREAM_END)
        return STEP_CORRUPT;
    if (d->in.n == 0)
        return STEP_END;
    bzip2_close(d); /* another stream follows */
    bzip2_start(d);
    return STEP_MORE;
}

static void bzip2_open(struct decoder *d)
{
    d->step = bzip2_step;
    d->close = bzip2_close;
    bzip2_start(d);
}

/* ---- the loop */

static int drain(struct decoder *d, size_t max_bytes, struct buf *out)
{
    size_t made = 0;
    for (;;) {
        char beyond;
        size_t room = smaller(max_bytes - made, made > FIRST_ROOM ? made : FIRST_ROOM), n = 0;
        buf_reserve(out, room);
        room = smaller(max_bytes - made, out->cap - out->n);
        enum step step = room ? d->step(d, out->p + out->n, room, &n) : d->step(d, &beyond, 1, &n);
        if (step == STEP_CORRUPT)
            return -ERR_CORRUPT_BODY;
        if (step == STEP_TOO_LARGE || n > max_bytes - made)
            return -ERR_TOO_LARGE;
        made += n;
        out->n += n;
        if (step == STEP_END)
            return 0;
    }
}

/* What came out before a failure stays in `out`. */
static int decode(enum content_encoding enc, struct str in, size_t max_bytes, struct buf *out)
{
    struct decoder d = {.in = in};
    switch (enc) {
    case ENCODING_IDENTITY:
        return 0;
    case ENCODING_GZIP:
        d.members = true;
        inflate_open(&d, MAX_WBITS + 16); /* 16: gzip framing */
        break;
    case ENCODING_DEFLATE:
        inflate_open(&d, has_zlib_header(in) ? MAX_WBITS : -MAX_WBITS);
        break;
    case ENCODING_BR:
        brotli_open(&d);
        break;
    case ENCODING_ZSTD:
        zstd_open(&d);
        break;
    case ENCODING_XZ:
        xz_open(&d);
        break;
    case ENCODING_BZIP2:
        bzip2_open(&d);
        break;
    }
    buf_reserve(out, smaller(max_bytes, in.n > FIRST_ROOM ? in.n * 2 : FIRST_ROOM)); /* what one decode usually needs, in one piece */
    int r = in.n ? drain(&d, max_bytes, out) : -ERR_CORRUPT_BODY;
    d.close(&d);
    return r;
}

int encoding_decode(enum content_encoding enc, struct str in, size_t max_bytes, struct buf *out)
{
    size_t before = out->n;
    int r = decode(enc, in, max_bytes, out);
    if (r < 0)
        out->n = before;
    return r;
}

int encoding_peek(enum content_encoding enc, struct str in, size_t max_bytes, struct buf *out)
{
    int r = decode(enc, in, max_bytes, out);
    return r == -ERR_TOO_LARGE ? 0 : r;
}
