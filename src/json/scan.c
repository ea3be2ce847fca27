/* scan.c: where values begin and end, told by brackets and quotes alone. Nothing recurses; every function reads each byte once. */
#include "scan.h"

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

size_t scan_string(struct str s, size_t i)
{
    for (i++; i < s.n; i++) {
        if (s.p[i] == '"')
            return i + 1;
        if (s.p[i] == '\\')
            i++;
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
