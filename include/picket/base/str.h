/* str.h: borrowed slices of bytes. A `struct str` owns nothing and need not end in NUL; whoever keeps it longer than the
 * bytes live copies it first (arena_str, buf_append). All functions are pure, may be called from any thread and accept the
 * empty slice, whose pointer may be NULL. "Space" means ASCII blank and tab, CR and LF. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "picket/base/macros.h"

struct str {
    const char *p;
    size_t n;
};

#define STR(literal) ((struct str){"" literal "", sizeof(literal) - 1})
#define STR_ARG(s) (int)(s).n, (s).p /* for "%.*s" */

static inline struct str str_of(const char *p, size_t n)
{
    return (struct str){p, n};
}
/* From a NUL-terminated string of our own (argv, getenv, a library's constant); NULL gives the empty slice. */
static inline struct str str_from(const char *cstr)
{
    return (struct str){cstr, cstr ? strlen(cstr) : 0};
}
static inline bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
static inline struct str str_drop(struct str s, size_t n)
{
    if (s.n == 0) /* perhaps at no address, to which nothing may be added, not even 0 */
        return s;
    return n >= s.n ? (struct str){s.p + s.n, 0} : (struct str){s.p + n, s.n - n};
}
static inline struct str str_take(struct str s, size_t n)
{
    return n >= s.n ? s : (struct str){s.p, n};
}

bool str_eq_nocase(struct str a, struct str b); /* ASCII case only */
bool str_starts(struct str s, struct str prefix);
bool str_starts_nocase(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
int str_cmp(struct str a, struct str b); /* bytewise, shorter first: -1, 0, 1 */
struct str str_trim(struct str s);       /* without leading and trailing space */

/* Cuts *rest at the first `sep`: returns what stood before it and leaves what follows in *rest. Without a `sep` all of *rest is
 * returned and *rest becomes empty with p == NULL, so `while (rest.p)` walks every part, empty ones included. */
struct str str_cut(struct str *rest, char sep);

/* Position of the first `c`, or s.n. */
size_t str_find(struct str s, char c);

/* Whole slice as a decimal number: digits only (str_to_i64: one leading '-'), no blanks. False when empty, malformed or beyond
 * the type's range; *ret is then untouched. */
MUST_CHECK bool str_to_u64(struct str s, uint64_t *ret);
MUST_CHECK bool str_to_i64(struct str s, int64_t *ret);

/* Decodes %XX and, as in a query string, '+' into `dst` (room for s.n bytes); broken escapes are kept as they stand. Returns the
 * decoded length. */
size_t str_percent_decode(struct str s, char *dst);

/* True when all of `s` is well-formed UTF-8 (no surrogates, nothing overlong, at most U+10FFFF). */
bool str_is_utf8(struct str s);

/* Length of the well-formed UTF-8 character that `s` starts with; 0 when there is none. */
size_t str_utf8_char(struct str s);

/* The longest prefix with at most `max_code_points` code points that does not cut a character. Input: UTF-8. */
struct str str_take_code_points(struct str s, size_t max_code_points);

/* Standard or URL-safe base64 (RFC 4648), padding optional, no blanks. Decodes into `dst` (room for 3 * s.n / 4 + 3 bytes);
 * returns the length or -EINVAL. */
MUST_CHECK ptrdiff_t str_base64_decode(struct str s, uint8_t *dst);
/* URL-safe base64 without padding; `dst` has room for 4 * n / 3 + 4 bytes, is not terminated. Returns the length. */
size_t str_base64url_encode(const void *src, size_t n, char *dst);
/* Lower-case hex, 2 * n characters, not terminated. */
void str_hex_encode(const void *src, size_t n, char *dst);
/* Exactly 2 * n hex digits of any case into n bytes. */
MUST_CHECK bool str_hex_decode(struct str s, uint8_t *dst, size_t n);
