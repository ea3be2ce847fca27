/* scan.c: where values begin and end, told by brackets and quotes alone. Nothing recurses; every function reads each byte once. */
#include "scan.h"

#include "picket/json/json.h"

struct str scan_without_bom(struct str text)
{
    return str_starts(text, STR("\xEF\xBB\xBF")) ? str_drop(text, 3) : text;
}

size_t scan_space(struct str s, size_t i)
{
    while (i < s.n && (s.p[i] == ' ' || s.p[i] == '\t' || s.p[i] == '\r' || s.p[i] == '\n'))
        i++;
    return i;
}

enum { STRIDE = sizeof(uint64_t) };

static uint64_t zero_bytes(uint64_t word)
{
    return (word - UINT64_C(0x0101010101010101)) & ~word & UINT64_C(0x8080808080808080);
}

/* Offset of the first quote or backslash from `i` on, or one that is less than STRIDE before it. */
static size_t skip_plain(struct str s, size_t i)
{
    uint64_t word;
    for (; i + STRIDE <= s.n; i += STRIDE) {
        memcpy(&word, s.p + i, sizeof word);
        if (zero_bytes(word ^ UINT64_C(0x2222222222222222)) | zero_bytes(word ^ UINT64_C(0x5c5c5c5c5c5c5c5c)))
            break;
    }
    return i;
}

size_t scan_string(struct str s, size_t i)
{
    for (i = skip_plain(s, i + 1); i < s.n; i++) {
        if (s.p[i] == '"')
            return i + 1;
        if (s.p[i] == '\\')
            i = skip_plain(s, i + 2) - 1;
    }
    return s.n;
}

static bool ends_scalar(char c)
{
    return memchr(" \t\r\n,:[]{}\"", c, 11) != NULL;
}

size_t scan_scalar(struct str s, size_t i)
{
    while (i < s.n && !ends_scalar(s.p[i]))
        i++;
    return i;
}

bool scan_value(struct str s, size_t i, size_t *ret)
{
    size_t depth = 0;
    while (i < s.n) {
        char c = s.p[i];
        if (c == '"') {
            i = scan_string(s, i);
        } else if (c == '{' || c == '[') {
            depth++;
            i++;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
            i++;
        } else if (depth > 0) {
            i++;
            continue;
        } else {
            i = scan_scalar(s, i);
        }
        if (depth == 0) {
            *ret = i;
            return true;
        }
    }
    return false;
}

static bool has(struct str s, size_t i, char c)
{
    return i < s.n && s.p[i] == c;
}

/* Of the array whose bracket is at `i`. *ret: behind the last of them, or behind the array. */
static size_t count_elements(struct str s, size_t i, size_t *ret)
{
    size_t n = 0;
    for (i = scan_space(s, i + 1); i < s.n && s.p[i] != ']'; i = scan_space(s, i + 1)) {
        if (!scan_value(s, i, &i)) {
            *ret = s.n;
            return n;
        }
        n++;
        i = scan_space(s, i);
        if (!has(s, i, ','))
            break;
    }
    *ret = i + has(s, i, ']');
    return n;
}

size_t json_skim_count(struct str text, struct str key)
{
    struct str s = scan_without_bom(text);
    size_t i = scan_space(s, 0), n = 0;
    if (!has(s, i, '{'))
        return 0;
    do { /* `i` is at the bracket or at a comma */
        i = scan_space(s, i + 1);
        if (!has(s, i, '"'))
            return n;
        size_t end = scan_string(s, i);
        bool is_wanted = end - i == key.n + 2 && memcmp(s.p + i + 1, key.p, key.n) == 0;
        i = scan_space(s, end);
        if (!has(s, i, ':'))
            return n;
        i = scan_space(s, i + 1);
        if (is_wanted && has(s, i, '['))
            n = count_elements(s, i, &i);
        else if (!scan_value(s, i, &i))
            return n;
        else if (is_wanted)
            n = 0; /* the last of duplicates counts */
        i = scan_space(s, i);
    } while (has(s, i, ','));
    return n;
}
