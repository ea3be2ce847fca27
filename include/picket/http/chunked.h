/* chunked.h: the decoder of chunked bodies (RFC 9112 §7.1) that libh2o is made to use instead of its own, which takes "0x64", "64 garbage", bare
 * line feeds and two arbitrary bytes behind a chunk: another parser in front reads those differently. Pure; one decoder per body. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "picket/base/macros.h"

/* Name, fields and results are libh2o's (picohttpparser); starts zeroed, but for consume_trailer, which libh2o sets and nothing here reads. */
struct phr_chunked_decoder {
    size_t bytes_left_in_chunk; /* in the trailers: their bytes so far */
    char consume_trailer;
    char _hex_count; /* digits of the size; in an extension: its bytes so far */
    char _state;
};

/* Decodes `*bufsz` bytes in place; *bufsz becomes the number of decoded bytes, which stand at `buf`. -2: more must come. -1: malformed. Else the
 * body is complete and the result is the number of bytes that were left behind it, which follow the decoded ones. */
MUST_CHECK ssize_t phr_decode_chunked(struct phr_chunked_decoder *decoder, char *buf, size_t *bufsz);

/* Asserts that the dynamic linker hands this decoder to libh2o. */
void chunked_check(void);
