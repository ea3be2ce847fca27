/* utf16.c: a unit becomes at most three bytes of UTF-8, a pair of them four. */
#include "utf16.h"

enum { REPLACEMENT = 0xFFFD };

static uint32_t unit(struct str s, bool is_swapped)
{
    unsigned char first = (unsigned char)s.p[0], second = (unsigned char)s.p[1];
    return is_swapped ? (uint32_t)first << 8 | second : (uint32_t)second << 8 | first;
}

static size_t put_utf8(uint32_t c, char *dst)
{
    static const struct {
        uint32_t below;
        unsigned char lead;
    } sizes[] = {{0x80, 0}, {0x800, 0xC0}, {0x10000, 0xE0}, {0x110000, 0xF0}};
    size_t n = 0;
    while (c >= sizes[n].below)
        n++;
    for (size_t i = n; i > 0; i--) {
        dst[i] = (char)(0x80 | (c & 0x3F));
        c >>= 6;
    }
    dst[0] = (char)(sizes[n].lead | c);
    return n + 1;
}

struct str utf16_text(struct str bytes, bool is_swapped, struct arena *a)
{
    char *dst = arena_alloc(a, bytes.n / 2 * 3 + 1);
    size_t n = 0;
    while (bytes.n >= 2) {
        uint32_t c = unit(bytes, is_swapped);
        bytes = str_drop(bytes, 2);
        if (c == 0)
            break;
        if (c >= 0xD800 && c < 0xE000) {
            uint32_t low = c < 0xDC00 && bytes.n >= 2 ? unit(bytes, is_swapped) : 0;
            bool is_pair = low >= 0xDC00 && low < 0xE000;
            c = is_pair ? 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00) : REPLACEMENT;
            bytes = str_drop(bytes, is_pair ? 2 : 0);
        }
        n += put_utf8(c, dst + n);
    }
    return str_of(dst, n);
}
