/* chunked.c: see chunked.h. libh2o calls its decoder through the dynamic linker, which takes the program's own function of that name first (ELF
 * symbol interposition); chunked_check() looks whether it did.
 *
 * A state per line end, because a body arrives in pieces of any size. Strict where parsers are known to differ: a size is one to eight
 * hexadecimal digits; an extension follows a semicolon; every line ends in CR LF, and neither stands elsewhere; CR LF follows the bytes of a
 * chunk. Trailers are read and dropped: what comes behind the body must not change what its head said. */
#include "picket/http/chunked.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <string.h>

enum { SIZE_DIGITS_MAX = 8, EXTENSION_MAX = 100, TRAILERS_MAX = 8192 };
enum { INCOMPLETE = -2, MALFORMED = -1, COMPLETE = 0 };
enum state {
    SIZE,
    EXTENSION,
    DATA,
    SIZE_LF,
    DATA_CR,
    DATA_LF,
    TRAILER_START,
    TRAILER,
    TRAILER_LF,
    END_LF
}; /* SIZE and DATA as in libh2o */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static int go(struct phr_chunked_decoder *d, enum state to)
{
    d->_state = (char)to;
    return INCOMPLETE;
}

static int take_size(struct phr_chunked_decoder *d, char c)
{
    int digit = hex_digit(c);
    if (digit >= 0 && d->_hex_count < SIZE_DIGITS_MAX) {
        d->bytes_left_in_chunk = d->bytes_left_in_chunk << 4 | (size_t)digit;
        d->_hex_count++;
        return INCOMPLETE;
    }
    if (d->_hex_count == 0 || digit >= 0)
        return MALFORMED;
    if (c == '\r')
        return go(d, SIZE_LF);
    if (c != ';')
        return MALFORMED;
    d->_hex_count = 0;
    return go(d, EXTENSION);
}

/* What may stand in a line: no control characters but the tab. */
static bool is_text(char c)
{
    return (unsigned char)c >= ' ' ? c != 0x7f : c == '\t';
}

static int take_extension(struct phr_chunked_decoder *d, char c)
{
    if (c == '\r')
        return go(d, SIZE_LF);
    return is_text(c) && ++d->_hex_count <= EXTENSION_MAX ? INCOMPLETE : MALFORMED;
}

static int take_trailer(struct phr_chunked_decoder *d, char c)
{
    if (c == '\r')
        return go(d, d->_state == TRAILER_START ? END_LF : TRAILER_LF);
    if (!is_text(c) || ++d->bytes_left_in_chunk > TRAILERS_MAX)
        return MALFORMED;
    return go(d, TRAILER);
}

static int take_line_end(struct phr_chunked_decoder *d, char c, enum state next)
{
    return c == '\n' ? go(d, next) : MALFORMED;
}

/* One byte of framing. */
static int take(struct phr_chunked_decoder *d, char c)
{
    switch ((enum state)d->_state) {
    case SIZE:
        return take_size(d, c);
    case EXTENSION:
        return take_extension(d, c);
    case SIZE_LF:
        d->_hex_count = 0;
        return take_line_end(d, c, d->bytes_left_in_chunk ? DATA : TRAILER_START);
    case DATA_CR:
        return c == '\r' ? go(d, DATA_LF) : MALFORMED;
    case DATA_LF:
        return take_line_end(d, c, SIZE);
    case TRAILER_START:
    case TRAILER:
        return take_trailer(d, c);
    case TRAILER_LF:
        return take_line_end(d, c, TRAILER_START);
    case END_LF:
        return c == '\n' ? COMPLETE : MALFORMED;
    case DATA:
        break;
    }
    return MALFORMED;
}

ssize_t phr_decode_chunked(struct phr_chunked_decoder *d, char *buf, size_t *bufsz)
{
    size_t n = *bufsz, src = 0, dst = 0;
    int r = INCOMPLETE;
    while (r == INCOMPLETE && src < n) {
        if (d->_state != DATA) {
            r = take(d, buf[src++]);
            continue;
        }
        size_t run = n - src < d->bytes_left_in_chunk ? n - src : d->bytes_left_in_chunk;
        memmove(buf + dst, buf + src, run);
        src += run;
        dst += run;
        d->bytes_left_in_chunk -= run;
        if (d->bytes_left_in_chunk == 0)
            (void)go(d, DATA_CR);
    }
    if (r == COMPLETE)
        memmove(buf + dst, buf + src, n - src);
    *bufsz = dst;
    return r == COMPLETE ? (ssize_t)(n - src) : r;
}

void chunked_check(void)
{
    void *used = dlsym(RTLD_DEFAULT, "phr_decode_chunked"); /* what libh2o calls */
    ssize_t (*ours)(struct phr_chunked_decoder *, char *, size_t *) = phr_decode_chunked;
    assert(memcmp(&used, &ours, sizeof used) == 0);
}
