/* slug.c: see slug.h. The tables cover Latin with marks, Greek and Cyrillic; a letter of any other script becomes a dash, and a name of such
 * letters alone gets the slug NAMELESS: a project must not be refused for the language of its name. */
#include "picket/api/slug.h"

#include "picket/base/error.h"

#define NAMELESS "project"
enum { LATIN = 0xC0, GREEK = 0x386, CYRILLIC = 0x400, OTHER_SCRIPTS = 0x530 /* Armenian is the first */ };

/* clang-format off */
static const char latin[][3] = { /* U+00C0 … U+017F */
    "a", "a", "a", "a", "a", "a", "ae", "c", "e", "e", "e", "e", "i", "i", "i", "i", "d", "n", "o", "o", "o", "o", "o", "",
    "o", "u", "u", "u", "u", "y", "th", "ss", "a", "a", "a", "a", "a", "a", "ae", "c", "e", "e", "e", "e", "i", "i", "i", "i",
    "d", "n", "o", "o", "o", "o", "o", "", "o", "u", "u", "u", "u", "y", "th", "y", "a", "a", "a", "a", "a", "a", "c", "c",
    "c", "c", "c", "c", "c", "c", "d", "d", "d", "d", "e", "e", "e", "e", "e", "e", "e", "e", "e", "e", "g", "g", "g", "g",
    "g", "g", "g", "g", "h", "h", "h", "h", "i", "i", "i", "i", "i", "i", "i", "i", "i", "i", "ij", "ij", "j", "j", "k", "k",
    "k", "l", "l", "l", "l", "l", "l", "l", "l", "l", "l", "n", "n", "n", "n", "n", "n", "n", "ng", "ng", "o", "o", "o", "o",
    "o", "o", "oe", "oe", "r", "r", "r", "r", "r", "r", "s", "s", "s", "s", "s", "s", "s", "s", "t", "t", "t", "t", "t", "t",
    "u", "u", "u", "u", "u", "u", "u", "u", "u", "u", "u", "u", "w", "w", "y", "y", "y", "z", "z", "z", "z", "z", "z", "s",
};
static const char greek[][3] = { /* U+0386 … U+03CE */
    "a", "", "e", "i", "i", "", "o", "", "y", "o", "i",
    "a", "b", "g", "d", "e", "z", "i", "th", "i", "k", "l", "m", "n", "x", "o", "p", "r", "", "s", "t", "y", "f", "ch", "ps", "o", "i", "y",
    "a", "e", "i", "i", "y",
    "a", "b", "g", "d", "e", "z", "i", "th", "i", "k", "l", "m", "n", "x", "o", "p", "r", "s", "s", "t", "y", "f", "ch", "ps", "o", "i", "y",
    "o", "y", "o",
};
static const char cyrillic[][5] = { /* U+0400 … U+045F */
    "e", "yo", "dj", "gj", "ye", "dz", "i", "yi", "j", "lj", "nj", "c", "kj", "i", "u", "dz",
    "a", "b", "v", "g", "d", "e", "zh", "z", "i", "y", "k", "l", "m", "n", "o", "p",
    "r", "s", "t", "u", "f", "kh", "ts", "ch", "sh", "shch", "", "y", "", "e", "yu", "ya",
    "a", "b", "v", "g", "d", "e", "zh", "z", "i", "y", "k", "l", "m", "n", "o", "p",
    "r", "s", "t", "u", "f", "kh", "ts", "ch", "sh", "shch", "", "y", "", "e", "yu", "ya",
    "e", "yo", "dj", "gj", "ye", "dz", "i", "yi", "j", "lj", "nj", "c", "kj", "i", "u", "dz",
};
/* clang-format on */

static unsigned two_byte_code(struct str name, size_t n)
{
    return n == 2 ? ((unsigned char)name.p[0] & 0x1Fu) << 6 | ((unsigned char)name.p[1] & 0x3Fu) : 0;
}

/* The Cyrillic hard and soft signs say how a letter sounds: no letter, and no gap either. */
static bool is_silent(unsigned code)
{
    return code == 0x42A || code == 0x42C || code == 0x44A || code == 0x44C;
}

/* U+0300 … U+036F: a letter written as ASCII and a mark is that letter. */
static bool is_combining_mark(unsigned code)
{
    return code >= 0x300 && code <= 0x36F;
}

/* The ASCII letters and digits that stand for a character; "" for none. `one` is room for a single one. */
static const char *spell(char c, unsigned code, char one[2])
{
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z')) {
        one[0] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
        one[1] = 0;
        return one;
    }
    if (code >= LATIN && code - LATIN < ARRAY_LEN(latin))
        return latin[code - LATIN];
    if (code >= GREEK && code - GREEK < ARRAY_LEN(greek))
        return greek[code - GREEK];
    return code >= CYRILLIC && code - CYRILLIC < ARRAY_LEN(cyrillic) ? cyrillic[code - CYRILLIC] : "";
}

/* Not the signs of U+2000 … U+2FFF, nor U+FFFD, which stands for bytes that were no text. */
static bool is_of_another_script(struct str name, size_t n, unsigned code)
{
    return n == 2 ? code >= OTHER_SCRIPTS : n > 2 && name.p[0] != '\xE2' && !str_starts(name, STR("\xEF\xBF\xBD"));
}

int slug_make(struct buf *out, struct str name)
{
    size_t start = out->n;
    bool gap = false, foreign = false;
    for (size_t n; name.n > 0; name = str_drop(name, n ? n : 1)) {
        n = str_utf8_char(name);
        unsigned code = two_byte_code(name, n);
        if (is_combining_mark(code) || is_silent(code))
            continue;
        foreign = foreign || is_of_another_script(name, n, code);
        char one[2];
        struct str letters = str_from(spell(name.p[0], code, one));
        bool dash = gap && letters.n > 0 && out->n > start;
        if (out->n - start + dash + letters.n > SLUG_MAX)
            break;
        if (dash)
            buf_append_char(out, '-');
        buf_append_str(out, letters);
        gap = letters.n == 0;
    }
    if (out->n == start && foreign)
        buf_append_str(out, STR(NAMELESS));
    return out->n > start ? 0 : -ERR_INVALID;
}
