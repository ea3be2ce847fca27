/* disposition.c: the plain name holds letters, digits, blanks and a few marks, and '_' for all else, because quoting is understood differently by
 * different clients; the exact one is percent-encoded, which leaves nothing to understand. */
#include "picket/api/disposition.h"

enum { NAME_MAX_BYTES = 200 };

static struct str last_component(struct str name)
{
    for (size_t i = name.n; i > 0; i--)
        if (name.p[i - 1] == '/' || name.p[i - 1] == '\\')
            return str_drop(name, i);
    return name;
}

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

/* At most NAME_MAX_BYTES, whole characters, and none that begins with a dot: hidden where it is saved. */
static struct str shortened(struct str name)
{
    while (str_starts(name, STR(".")))
        name = str_drop(name, 1);
    if (name.n <= NAME_MAX_BYTES)
        return name;
    size_t n = NAME_MAX_BYTES;
    while (n > 0 && ((unsigned char)name.p[n] & 0xC0) == 0x80)
        n--;
    return str_take(name, n);
}

void disposition_write(struct str name, struct buf *out)
{
    name = shortened(str_trim(last_component(name)));
    if (name.n == 0)
        name = STR("attachment");
    bool exact = true;
    buf_append_str(out, STR("attachment; filename=\""));
    for (size_t i = 0; i < name.n; i++) {
        bool plain = is_plain(name.p[i]) || name.p[i] == ' ';
        bool continues = ((unsigned char)name.p[i] & 0xC0) == 0x80; /* one '_' for a character */
        exact = exact && plain;
        if (!continues)
            buf_append_char(out, (char)(plain ? name.p[i] : '_'));
    }
    buf_append_char(out, '"');
    if (exact)
        return;
    buf_append_str(out, STR("; filename*=UTF-8''"));
    for (size_t i = 0; i < name.n; i++) {
        if (is_plain(name.p[i]))
            buf_append_char(out, name.p[i]);
        else
            buf_printf(out, "%%%02X", (unsigned char)name.p[i]);
    }
}

struct str disposition_type(struct str content_type)
{
    static const struct {
        const char *sent, *answered;
    } types[] = {
        {"image/png", "image/png"},
        {"image/jpeg", "image/jpeg"},
        {"image/gif", "image/gif"},
        {"image/webp", "image/webp"},
        {"text/plain", "text/plain; charset=utf-8"},
        {"application/json", "application/json"},
    };
    struct str bare = str_trim(str_take(content_type, str_find(content_type, ';')));
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (str_eq_nocase(bare, str_from(types[i].sent)))
            return str_from(types[i].answered);
    return STR("application/octet-stream");
}
