/* slug.c: see slug.h. The table covers Latin-1 and Latin Extended-A, the letters of most European languages; whatever else has no ASCII kin
 * becomes a dash, and a name made of such letters alone needs a slug of its own. */
#include "picket/api/slug.h"

#include "picket/base/error.h"

enum { FIRST_LETTER = 0xC0 };

/* clang-format off */
static const char kin[][3] = { /* U+00C0 … U+017F */
    "a", "a", "a", "a", "a", "a", "ae", "c", "e", "e", "e", "e", "i", "i", "i", "i", "d", "n", "o", "o", "o", "o", "o", "",
    "o", "u", "u", "u", "u", "y", "th", "ss", "a", "a", "a", "a", "a", "a", "ae", "c", "e", "e", "e", "e", "i", "i", "i", "i",
    "d", "n", "o", "o", "o", "o", "o", "", "o", "u", "u", "u", "u", "y", "th", "y", "a", "a", "a", "a", "a", "a", "c", "c",
    "c", "c", "c", "c", "c", "c", "d", "d", "d", "d", "e", "e", "e", "e", "e", "e", "e", "e", "e", "e", "g", "g", "g", "g",
    "g", "g", "g", "g", "h", "h", "h", "h", "i", "i", "i", "i", "i", "i", "i", "i", "i", "i", "ij", "ij", "j", "j", "k", "k",
    "k", "l", "l", "l", "l", "l", "l", "l", "l", "l", "l", "n", "n", "n", "n", "n", "n", "n", "ng", "ng", "o", "o", "o", "o",
    "o", "o", "oe", "oe", "r", "r", "r", "r", "r", "r", "s", "s", "s", "s", "s", "s", "s", "s", "t", "t", "t", "t", "t", "t",
    "u", "u", "u", "u", "u", "u", "u", "u", "u", "u", "u", "u", "w", "w", "y", "y", "y", "z", "z", "z", "z", "z", "z", "s",
};
/* clang-format on */

static unsigned two_byte_code(struct str name, size_t n)
{
    return n == 2 ? ((unsigned char)name.p[0] & 0x1Fu) << 6 | ((unsigned char)name.p[1] & 0x3Fu) : 0;
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
    return code >= FIRST_LETTER && code - FIRST_LETTER < ARRAY_LEN(kin) ? kin[code - FIRST_LETTER] : "";
}

int slug_make(struct buf *out, struct str name)
{
    size_t start = out->n;
    bool gap = false;
    for (size_t n; name.n > 0; name = str_drop(name, n ? n : 1)) {
        n = str_utf8_char(name);
        unsigned code = two_byte_code(name, n);
        if (is_combining_mark(code))
            continue;
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
    return out->n > start ? 0 : -ERR_INVALID;
}
