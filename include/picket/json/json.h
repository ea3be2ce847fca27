/* json.h: reading and writing JSON. Nothing else in Picket sees the JSON library. Values are borrowed from their document and
 * immutable; a document belongs to one owner but may be read from any thread. No function recurses: nesting is bounded by memory
 * that the text itself already took, never by the stack.
 *
 * The reader takes what SDKs send (sdk-observed "Events", protocol §2.4, §5.5): a byte order mark is skipped; lone surrogate escapes
 * become U+FFFD; raw control characters in strings pass; so do invalid UTF-8 bytes, which become U+FFFD when a string is read with
 * json_str or written; NaN, Infinity and numbers beyond double read as null; integers beyond 64 bits keep their text;
 * of duplicate keys the last wins. */
#pragma once

#include "picket/base/arena.h"
#include "picket/base/buf.h"

struct json_doc;
struct json; /* one value inside a document */

enum json_type { JSON_NONE, JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

/* Parses all of `text`, which is not kept. -ERR_BAD_JSON with the byte offset in *ret_at (may be NULL). Memory: about 13 bytes per
 * byte of text at worst, text of brackets and one-digit numbers. */
MUST_CHECK int json_parse(struct str text, struct json_doc **ret, size_t *ret_at);
/* Parses the first value of `text` and reports in *ret_used the bytes it took, leading space included: for envelope headers, which
 * may be followed by anything (protocol §2.1 rule 2). */
MUST_CHECK int json_parse_prefix(struct str text, struct json_doc **ret, size_t *ret_used);
/* How many elements the array has that is member `key` of the object `text`, told by brackets and quotes alone, at about a nanosecond for each byte and without
 * any memory: for what is counted and not read. 0 when there is none; where `text` is no JSON it may be any number up to its length. Keys that are spelled with
 * escapes are not known. */
size_t json_skim_count(struct str text, struct str key);
void json_free(struct json_doc *doc); /* NULL is fine */
static inline void json_auto_free_(struct json_doc **doc)
{
    json_free(*doc);
}
#define AUTO_JSON __attribute__((cleanup(json_auto_free_)))

const struct json *json_root(const struct json_doc *doc);

/* All accessors accept NULL (JSON_NONE) and values of another type: they then return false, NULL or 0. */
enum json_type json_type(const struct json *v);
const struct json *json_get(const struct json *object, struct str key); /* last of duplicates; NULL when absent */
const struct json *json_at(const struct json *array, size_t index);     /* O(n) */
size_t json_count(const struct json *v);                                /* elements or members */
bool json_bool(const struct json *v, bool *ret);
bool json_i64(const struct json *v, int64_t *ret); /* integral numbers within int64 (1.0 counts) */
bool json_f64(const struct json *v, double *ret);  /* any finite number */
/* The string's bytes as they stand in the document: may hold NULs and, if the sender was careless, invalid UTF-8. */
bool json_str_raw(const struct json *v, struct str *ret);
/* The string as well-formed UTF-8 without NUL (both repaired to U+FFFD, copied to `a` only when something had to be repaired). */
bool json_str(const struct json *v, struct arena *a, struct str *ret);
/* json_str for strings; numbers, booleans as their JSON text; objects and arrays as compact JSON; false for null and NONE. */
bool json_text(const struct json *v, struct arena *a, struct str *ret);

/* for (struct json_iter it = json_iter(v); json_next(&it);) use it.key (objects only) and it.value. Document order, duplicates included. */
struct json_iter {
    const struct json *key; /* a JSON_STRING; NULL in arrays */
    const struct json *value;
    const struct json *next_; /* private */
    size_t left_;             /* private */
    bool object_;             /* private */
};
struct json_iter json_iter(const struct json *v);
bool json_next(struct json_iter *it);

/* Every value below `root`, and `root` itself, in document order: a container, then what it holds.
 *     json_walk_start(&w, root);
 *     while (json_walk_next(&w)) use w.value, w.key, w.depth; json_walk_skip(&w) leaves out what the container just met holds.
 *     json_walk_done(&w);
 * Memory: eight bytes per level of nesting beyond the first few. */
enum { JSON_WALK_FIXED = 32 };
struct json_walk {
    const struct json *key; /* a JSON_STRING; NULL for the root and in arrays */
    const struct json *value;
    struct str name, text;    /* the key's and a string's bytes, as json_str_raw gives them; of anything else not set */
    enum json_type type;      /* of `value` */
    size_t depth;             /* of `value`; the root's is 0 */
    const struct json *next_; /* private from here */
    uint64_t *levels_;        /* fixed_, or heap */
    size_t n_levels_, cap_;
    uint64_t fixed_[JSON_WALK_FIXED];
};
void json_walk_start(struct json_walk *w, const struct json *root);
bool json_walk_next(struct json_walk *w);
void json_walk_skip(struct json_walk *w);
void json_walk_done(struct json_walk *w);

/* Where values stand in the text that was parsed, so that one can be replaced and everything else kept byte by byte. Values are asked for
 * in document order; all questions together read the text once. `text` is the one that `doc` was parsed from, borrowed. */
struct json_locator {
    struct str text_; /* private */
    size_t at_;
    const struct json *next_;
};
struct json_locator json_locator(const struct json_doc *doc, struct str text);
struct str json_locate(struct json_locator *l, const struct json *v); /* the value's bytes in `text`, quotes and brackets included */

/* ---- writing: a stream into a buf. Compact (no blanks). Commas and colons are the writer's; misuse (a value without key in an
 * object, an unbalanced end) is a bug and asserts. Strings are escaped and repaired to well-formed UTF-8; U+0000 is written as
 * U+FFFD, because neither PostgreSQL nor most clients take it. */
enum { JSON_WRITER_DEPTH = 64 };
struct json_writer {
    struct buf *out; /* borrowed; appended to */
    unsigned depth;  /* private from here */
    bool key_written;
    uint8_t state[JSON_WRITER_DEPTH];
};
void json_writer_init(struct json_writer *w, struct buf *out);
void json_begin_object(struct json_writer *w);
void json_end_object(struct json_writer *w);
void json_begin_array(struct json_writer *w);
void json_end_array(struct json_writer *w);
void json_key(struct json_writer *w, struct str key);
void json_put_str(struct json_writer *w, struct str s);
void json_put_i64(struct json_writer *w, int64_t v);
void json_put_f64(struct json_writer *w, double v); /* shortest text that reads back the same; not finite: null */
void json_put_bool(struct json_writer *w, bool v);
void json_put_null(struct json_writer *w);
void json_put_time(struct json_writer *w, int64_t wall_us); /* RFC 3339, clock_format */
/* A whole value from a document, of any depth, without recursion; unreadable numbers become null. */
void json_put_value(struct json_writer *w, const struct json *v);
/* Text that already is one complete JSON value. */
void json_put_raw(struct json_writer *w, struct str json_text);
/* "key": value in one call. */
void json_field_str(struct json_writer *w, struct str key, struct str v);
void json_field_known(struct json_writer *w, struct str key, struct str v); /* nothing at all for "" */
void json_field_i64(struct json_writer *w, struct str key, int64_t v);
void json_field_bool(struct json_writer *w, struct str key, bool v);
void json_field_null(struct json_writer *w, struct str key);
void json_field_time(struct json_writer *w, struct str key, int64_t wall_us);
