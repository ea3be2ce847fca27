/* read.c: from text to a document.
 *
 * The library is strict by default; its flags let pass what SDKs send and what can be repaired later, string by string: invalid UTF-8,
 * raw control characters, numbers that fit no C type. Two things it refuses under every flag, and both are handled here:
 *
 * - a byte order mark, which is skipped;
 * - an escaped lone surrogate (Python and JavaScript send those daily). When a string was refused, every lone surrogate escape in a
 *   copy of the text becomes \ufffd – the same length, so offsets stay true – and the copy is parsed. Only that path pays.
 *
 * A prefix is parsed by finding the end of the first value before the library sees it. Handing it the rest of the body with
 * "stop when done" would copy the whole rest once per header: a thousand items in a body of 200 MB would copy 200 GB. */
#include "scan.h"
#include "yy.h"

#include "picket/base/error.h"

static const yyjson_read_flag FLAGS = YYJSON_READ_ALLOW_INVALID_UNICODE | YYJSON_READ_ALLOW_INF_AND_NAN | YYJSON_READ_BIGNUM_AS_RAW;

enum { ESCAPE_LEN = 6 }; /* \uXXXX */

/* The code unit of a \uXXXX escape at the start of `s`, or -1. */
static int escaped_unit(struct str s)
{
    uint8_t unit[2];
    if (s.n < ESCAPE_LEN || s.p[0] != '\\' || s.p[1] != 'u' || !str_hex_decode(str_of(s.p + 2, 4), unit, sizeof unit))
        return -1;
    return unit[0] << 8 | unit[1];
}

static bool is_high_surrogate(int unit)
{
    return unit >= 0xD800 && unit <= 0xDBFF;
}

static bool is_low_surrogate(int unit)
{
    return unit >= 0xDC00 && unit <= 0xDFFF;
}

/* Rewrites lone surrogate escapes in place. Backslashes are legal only inside strings, so nothing else needs to be understood. */
static unsigned repair_surrogates(char *p, size_t n)
{
    unsigned repaired = 0;
    struct str rest = {p, n};
    for (;;) {
        rest = str_drop(rest, str_find(rest, '\\'));
        if (rest.n == 0)
            return repaired;
        int unit = escaped_unit(rest);
        if (is_high_surrogate(unit) && is_low_surrogate(escaped_unit(str_drop(rest, ESCAPE_LEN)))) {
            rest = str_drop(rest, ESCAPE_LEN);
        } else if (is_high_surrogate(unit) || is_low_surrogate(unit)) {
            memcpy(p + (rest.p - p), "\\ufffd", ESCAPE_LEN);
            repaired++;
        }
        rest = str_drop(rest, unit < 0 ? 2 : ESCAPE_LEN); /* 2: an escaped backslash must not start the next escape */
    }
}

static yyjson_doc *parse(struct str text, yyjson_read_err *err)
{
    return yyjson_read_opts((char *)text.p, text.n, FLAGS, NULL, err); /* not in situ: the text is only read */
}

static yyjson_doc *parse_repaired(struct str text, yyjson_read_err *err)
{
    AUTO_FREE char *copy = malloc(text.n + 1); /* + 1: never asks for nothing */
    if (!copy)
        abort();
    memcpy(copy, text.p, text.n);
    if (repair_surrogates(copy, text.n) == 0)
        return NULL;
    return parse(str_of(copy, text.n), err);
}

int json_parse(struct str text, struct json_doc **ret, size_t *ret_at)
{
    struct str body = scan_without_bom(text);
    yyjson_read_err err = {0};
    yyjson_doc *doc = parse(body, &err);
    if (!doc && err.code == YYJSON_READ_ERROR_INVALID_STRING)
        doc = parse_repaired(body, &err);
    if (!doc) {
        if (err.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
            abort(); /* as everywhere: what a client can size was limited before */
        if (ret_at)
            *ret_at = text.n - body.n + err.pos;
        return -ERR_BAD_JSON;
    }
    *ret = (struct json_doc *)doc;
    return 0;
}

int json_parse_prefix(struct str text, struct json_doc **ret, size_t *ret_used)
{
    struct str body = scan_without_bom(text);
    size_t at = 0, end;
    while (at < body.n && (body.p[at] == ' ' || body.p[at] == '\t' || body.p[at] == '\r' || body.p[at] == '\n'))
        at++;
    if (!scan_value(body, at, &end))
        return -ERR_BAD_JSON;
    int r = json_parse(str_of(body.p + at, end - at), ret, NULL);
    if (r < 0)
        return r;
    *ret_used = text.n - body.n + end;
    return 0;
}

void json_free(struct json_doc *doc)
{
    yyjson_doc_free((yyjson_doc *)doc);
}

const struct json *json_root(const struct json_doc *doc)
{
    return yy_json(yyjson_doc_get_root((yyjson_doc *)doc));
}
