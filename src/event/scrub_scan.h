/* scrub_scan.h: one pass through one text, as its parts see it: scrub_text.c drives it (T1–T4 are there), scrub_pairs.c finds pairs. Private to
 * scrub*.c. */
#pragma once

#include "scrub_parts.h"

struct scan {
    struct str s; /* what is not in `out` yet */
    size_t at;    /* in it: the next byte to look at */
    enum {
        NO_TAG,
        TAG,
        TAG_BARE,
        TAG_NAMED
    } tag;                   /* whose name means a secret and whose '>' is to come; TAG_BARE: at once; TAG_NAMED: an
                                                    * attribute says the name */
    bool in_tag, in_control; /* behind '<' and the name of an element; of HTML's, that is for an input */
    bool is_markup;          /* the text begins with a tag */
    size_t part_left;        /* bytes of `s` from the value of a form's part on, whose name means a secret; 0: of none */
    size_t headers_left;     /* bytes of `s` from where the last search for the end of a part's headers gave up; 0: there was none */
    bool headers_over;       /* … because the part ended there */
    unsigned looks;
    const struct scrub_rules *rules;
    bool changed;
    struct buf *out;
    size_t points; /* code points in `out` so far */
    struct scrub_remarks *remarks;
};

/* Bytes from..to of `s` become `with`, and the pass goes on behind it. */
void scrub_replace(struct scan *k, size_t from, size_t to, struct str with, enum scrub_reason reason);

/* ---- pairs (scrub_pairs.c): each looks at the byte at `at`, and moves on */

void scrub_separator(struct scan *k); /* '=' or ':' */
bool scrub_option(struct scan *k);    /* '-'; false: `at` stays */
void scrub_encoded(struct scan *k);   /* '%' */
void scrub_tuple(struct scan *k);     /* '(' or '[' */
void scrub_tag(struct scan *k);       /* '<' */
void scrub_tag_end(struct scan *k);   /* '>' */
void scrub_part(struct scan *k);      /* `part_left` has come */

/* ---- characters */

/* NAME: of unquoted names. BARE: of values without quotes. TOKEN: RFC 6750 §2.1. AUTHORITY: between "//" and the path. WORD: what makes a
 * number part of something else. LOCAL: before the '@' of an address. BASE64: without its padding. */
enum { NAME = 1, BARE = 2, TOKEN = 4, AUTHORITY = 8, WORD = 16, LOCAL = 32, BASE64 = 64 };

extern const uint8_t scrub_classes[256];

static inline bool is(char c, unsigned of)
{
    return scrub_classes[(uint8_t)c] & of;
}

/* NUL beyond either end. */
static inline char char_at(struct str s, size_t i)
{
    if (i < s.n)
        return s.p[i];
    return 0;
}

static inline bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline size_t run_end(struct str s, size_t i, unsigned of)
{
    while (i < s.n && is(s.p[i], of))
        i++;
    return i;
}

static inline bool is_quote(char c)
{
    return c == '"' || c == '\'';
}
