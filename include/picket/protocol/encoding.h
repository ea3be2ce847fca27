/* encoding.h: content encodings of requests (protocol §2.4) with bounded output. */
#pragma once

#include "picket/base/buf.h"

enum content_encoding {
    ENCODING_IDENTITY,
    ENCODING_GZIP,
    ENCODING_DEFLATE,
    ENCODING_BR,
    ENCODING_ZSTD,
    ENCODING_XZ, /* these two only of files, not of requests */
    ENCODING_BZIP2,
};

/* Header value in any case, blanks around; empty, identity and the nonsense value UTF-8 are identity. -ERR_BAD_ENCODING otherwise,
 * and for stacked encodings. */
MUST_CHECK int encoding_parse(struct str header, enum content_encoding *ret);

/* What a file was compressed with, by its first bytes: gzip, xz, bzip2, zstd, else identity (protocol §1.6 "Minidump"). */
enum content_encoding encoding_of_file(struct str bytes);

/* Decodes into `out` (appended). At most max_bytes come out: beyond that -ERR_TOO_LARGE, checked while inflating, so a bomb costs no
 * more than max_bytes; nor is a window or dictionary taken above 8 MiB (zstd) and 32 MiB (xz). -ERR_CORRUPT_BODY: damaged, cut short, or trailing garbage. ENCODING_DEFLATE accepts zlib framing and raw
 * deflate. ENCODING_IDENTITY is the caller's: there is nothing to do. */
MUST_CHECK int encoding_decode(enum content_encoding enc, struct str in, size_t max_bytes, struct buf *out);

/* The same for the first max_bytes of what would come out: for whoever looks at the beginning before the rest is worth the work. That more would come
 * is no error. */
MUST_CHECK int encoding_peek(enum content_encoding enc, struct str in, size_t max_bytes, struct buf *out);
