/* scrub_text.c: what goes out of one text.
 *
 * T1  One pass from left to right. A table says at which bytes something that is looked for could be recognised: '=' and ':' between name
 *     and value, '<' and '>' around the name of an element, "//" before credentials, '-' before a private key, digits of numbers, the 'B' of
 *     Bearer and Basic, '@' in an address.
 *     All other bytes are stepped over.
 * T2  Linear: from such a byte a bounded number of bytes is looked at, or bytes that the pass will not look at again, or bytes of a kind
 *     that ends at the next such byte. Base64 is no such kind: it may be full of the word Basic, so its end is looked for when it goes.
 * T3  What was replaced, and all before it, is gone from `s`: nothing is replaced twice, and what follows is judged as if it followed the
 *     placeholder.
 * T4  Placeholders offer nothing to a second pass.
 *
 * Pairs are recognised without knowing the language that they are written in: forms, queries, cookies, JSON (also JSON inside a string of JSON,
 * where quotes have backslashes before them), and what Python, Ruby, PHP, Go and others print of their objects. Elements of XML and parts of multipart
 * forms are pairs, too. Between their name and their value stands what has to be looked at as everything else (attributes, headers), so that the
 * pass goes on and remembers that there is a value to come. */
#include "scrub_parts.h"

struct scan {
    struct str s;                       /* what is not in `out` yet */
    size_t at;                          /* in it: the next byte to look at */
    enum { NO_TAG, TAG, TAG_BARE } tag; /* whose name means a secret and whose '>' is to come; TAG_BARE: at once */
    bool is_markup;                     /* the text begins with a tag */
    size_t part_left;                   /* bytes of `s` from the value of a form's part on, whose name means a secret; 0: of none */
    size_t headers_left; /* bytes of `s` from where the last search for the end of a part's headers gave up; 0: there was none */
    bool headers_over;   /* … because the part ended there */
    unsigned looks;
    const struct scrub_rules *rules;
    bool changed;
    struct buf *out;
    size_t points; /* code points in `out` so far */
    struct scrub_remarks *remarks;
};

static const struct {
    struct str id, of_prose, id_of_prose;
} reasons[] = {
    [SCRUB_NAME] = {STR("@password:filter"), STR("[Filtered]"), STR("@password:filter")},
    [SCRUB_CARD] = {STR("@creditcard:filter"), STR("[creditcard]"), STR("@creditcard:replace")},
    [SCRUB_KEY] = {STR("@pemkey:filter"), STR("[Filtered]"), STR("@pemkey:filter")},
    [SCRUB_URL] = {STR("@urlauth:filter"), STR("[Filtered]"), STR("@urlauth:filter")},
    [SCRUB_BEARER] = {STR("@bearer:filter"), STR("[token]"), STR("@bearer:replace")},
    [SCRUB_SSN] = {STR("@usssn:filter"), STR("[usssn]"), STR("@usssn:replace")},
    [SCRUB_IBAN] = {STR("@iban:filter"), STR("[iban]"), STR("@iban:replace")},
    [SCRUB_EMAIL] = {STR("@email:filter"), STR("[email]"), STR("@email:replace")},
    [SCRUB_IP] = {STR("@ip:replace"), STR("[ip]"), STR("@ip:replace")},
    [SCRUB_REMOVED] = {STR("@ip:remove"), STR(""), STR("@ip:remove")},
};

struct str scrub_reason_id(const struct scrub_remark *remark)
{
    return remark->prose ? reasons[remark->reason].id_of_prose : reasons[remark->reason].id;
}

/* ---- characters */

enum { NAME = 1, BARE = 2, TOKEN = 4, AUTHORITY = 8, WORD = 16, LOCAL = 32, BASE64 = 64 };

#define LETTER (NAME | BARE | TOKEN | AUTHORITY | WORD | LOCAL | BASE64)
/* NAME: of unquoted names. BARE: of values without quotes. TOKEN: RFC 6750 §2.1. AUTHORITY: between "//" and the path. WORD: what makes a
 * number part of something else. LOCAL: before the '@' of an address. BASE64: without its padding. */
static const uint8_t classes[256] = {
    ['a' ... 'z'] = LETTER,
    ['A' ... 'Z'] = LETTER,
    ['0' ... '9'] = LETTER,
    [0x00 ... 0x08] = BARE | AUTHORITY, /* as U+FFFD, which NUL becomes when it is written */
    [0x0E ... 0x1F] = BARE | AUTHORITY,
    [0x7F ... 0xFF] = BARE | AUTHORITY,
    ['_'] = LETTER & ~BASE64,
    ['-'] = NAME | BARE | TOKEN | AUTHORITY | LOCAL,
    ['.'] = NAME | BARE | TOKEN | AUTHORITY | LOCAL,
    ['%'] = NAME | BARE | AUTHORITY | LOCAL,
    ['['] = NAME | BARE | AUTHORITY,
    [']'] = NAME | AUTHORITY,
    ['$'] = NAME | BARE | AUTHORITY,
    ['~'] = BARE | TOKEN | AUTHORITY,
    ['+'] = BARE | TOKEN | AUTHORITY | LOCAL | BASE64,
    ['/'] = BARE | TOKEN | BASE64,
    ['='] = BARE | TOKEN | AUTHORITY,
    ['!'] = BARE | AUTHORITY,
    ['#'] = BARE,
    ['?'] = BARE,
    ['*'] = BARE | AUTHORITY,
    ['('] = BARE | AUTHORITY,
    [')'] = AUTHORITY,
    [':'] = BARE | AUTHORITY,
    ['@'] = BARE | AUTHORITY,
    ['^'] = BARE | AUTHORITY,
    ['`'] = BARE,
    ['{'] = BARE | AUTHORITY,
    ['}'] = AUTHORITY,
    [','] = AUTHORITY,
    [';'] = AUTHORITY,
    ['&'] = AUTHORITY,
    ['|'] = AUTHORITY,
};

static bool is(char c, unsigned of)
{
    return classes[(uint8_t)c] & of;
}

/* NUL beyond either end. */
static char char_at(struct str s, size_t i)
{
    if (i < s.n)
        return s.p[i];
    return 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t run_end(struct str s, size_t i, unsigned of)
{
    while (i < s.n && is(s.p[i], of))
        i++;
    return i;
}

/* ---- replacing */

static void put(struct scan *k, struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        k->points += (s.p[i] & 0xC0) != 0x80;
    buf_append_str(k->out, s);
}

static void replace(struct scan *k, size_t from, size_t to, struct str with, enum scrub_reason reason)
{
    put(k, str_take(k->s, from));
    size_t start = k->points;
    put(k, with);
    k->remarks->reasons |= 1U << reason;
    if (k->remarks->n < SCRUB_MAX_REMARKS)
        k->remarks->at[k->remarks->n++] =
            (struct scrub_remark){.reason = reason, .prose = (k->looks & LOOK_PROSE) != 0, .from = start, .to = k->points};
    k->s = str_drop(k->s, to);
    k->at = 0;
    k->changed = true;
}

static void replace_by_kind(struct scan *k, size_t from, size_t to, enum scrub_reason reason)
{
    bool kind = k->looks & LOOK_PROSE || reason == SCRUB_IP;
    replace(k, from, to, kind ? reasons[reason].of_prose : SCRUB_FILTERED, reason);
}

/* ---- pairs of name and value */

enum { NAME_MAX_BYTES = 128, SLASHES_MAX = 15 };

struct pair {
    struct str name;
    char quote;     /* of the name; 0: none */
    size_t slashes; /* before its quotes: the text is itself in a string */
    size_t separator;
};

static bool is_quote(char c)
{
    return c == '"' || c == '\'';
}

/* The last bytes of a name are what matters: "user[password]", "user%5Btoken%5D". */
static struct str without_brackets(struct str name)
{
    while (name.n > 0 && name.p[name.n - 1] == ']')
        name.n--;
    while (name.n > 3 && str_eq_nocase(str_of(name.p + name.n - 3, 3), STR("%5D")))
        name.n -= 3;
    return name;
}

/* The name before the separator at `i`. */
static bool read_name(const struct scan *k, size_t i, struct pair *ret)
{
    const char *p = k->s.p;
    size_t end = i;
    struct pair pair = {.separator = i};
    while (end > 0 && p[end - 1] == ' ' && i - end < 2)
        end--;
    if (end > 0 && is_quote(p[end - 1])) {
        pair.quote = p[--end];
        for (; end > 0 && p[end - 1] == '\\' && pair.slashes < SLASHES_MAX; end--)
            pair.slashes++;
    }
    size_t start = end;
    while (start > 0 && end - start < NAME_MAX_BYTES && is(p[start - 1], NAME))
        start--;
    pair.name = without_brackets(str_of(p + start, end - start));
    *ret = pair;
    return pair.name.n > 0 && p[start] != '['; /* T4: a placeholder is no name */
}

/* "==", "!=", "<=", "::", ":=" separate no name from its value. */
static bool separates(struct str s, size_t i)
{
    char before = char_at(s, i - 1), after = char_at(s, i + 1);
    return after != '=' && before != s.p[i] && (s.p[i] == ':' ? after != ':' : !memchr("!<>:", before, 4));
}

static bool names_secret(const struct scan *k, const struct pair *pair)
{
    bool loose = k->s.p[pair->separator] == ':' && !pair->quote;
    if (loose && !(k->looks & LOOK_LOOSE))
        return false;
    enum scrub_where where = loose ? WHERE_LOOSE : k->looks & LOOK_COOKIES ? WHERE_COOKIE : WHERE_KEY;
    return scrub_is_sensitive(pair->name, where, k->rules) && !scrub_is_safe(pair->name, k->rules);
}

/* Where the string that `quote` opened before `i` ends, and what follows it. Its own backslashes come in groups that tell an inner quote from
 * the last one: with `slashes` before the first quote, there are as many before the last, modulo twice as many and two. */
static size_t quoted_end(struct str s, size_t i, char quote, size_t slashes, size_t *ret_next)
{
    while (i < s.n) {
        size_t run = i;
        while (run < s.n && s.p[run] == '\\')
            run++;
        if (run == s.n)
            break;
        if (s.p[run] == quote && (run - i) % (2 * (slashes + 1)) == slashes) {
            *ret_next = run + 1;
            return run - slashes;
        }
        i = run + 1;
    }
    *ret_next = s.n;
    return s.n;
}

/* Offset behind the object or array that starts at `i`, or the end of the text. */
static size_t bracket_end(struct str s, size_t i, size_t slashes)
{
    size_t depth = 0;
    while (i < s.n) {
        char c = s.p[i++];
        if (is_quote(c))
            (void)quoted_end(s, i, c, slashes, &i); /* where the inner string's text ends does not matter */
        else if (c == '{' || c == '[')
            depth++;
        else if ((c == '}' || c == ']') && --depth == 0)
            return i;
    }
    return s.n;
}

static bool says_nothing(struct str s, size_t from, size_t to)
{
    static const struct str words[] = {STR("null"), STR("None"),  STR("nil"),  STR("undefined"),
                                       STR("true"), STR("false"), STR("True"), STR("False")};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_eq(str_of(s.p + from, to - from), words[i]))
            return true;
    return to == from || str_starts(str_drop(s, from), SCRUB_FILTERED);
}

/* "Bearer", "Basic" and the like are not the secret: the next word is. */
static size_t behind_scheme(struct str s, size_t from, size_t to)
{
    static const struct str schemes[] = {STR("bearer"), STR("basic"), STR("digest"), STR("token")};
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
        if (str_eq_nocase(str_of(s.p + from, to - from), schemes[i]) && to + 1 < s.n && s.p[to] == ' ')
            return run_end(s, to + 1, BARE);
    return to;
}

static size_t line_end(struct str s, size_t i)
{
    while (i < s.n && s.p[i] != '\n' && s.p[i] != '\r' && s.p[i] != '\\' && !is_quote(s.p[i]))
        i++;
    return i;
}

/* A value that is not in quotes. Where the name is, the placeholder must be. */
static void replace_bare(struct scan *k, const struct pair *pair, size_t from)
{
    struct str s = k->s;
    bool bracket = from < s.n && (s.p[from] == '{' || s.p[from] == '[');
    size_t to = run_end(s, from, BARE);
    if (says_nothing(s, from, to))
        return;
    if (bracket)
        to = bracket_end(s, from, pair->slashes);
    else if (s.p[pair->separator] == ':' && !pair->quote && scrub_takes_line(pair->name))
        to = line_end(s, from);
    else
        to = behind_scheme(s, from, to);
    if (!pair->quote) {
        replace(k, from, to, SCRUB_FILTERED, SCRUB_NAME);
        return;
    }
    char quoted[2 * (SLASHES_MAX + 1) + 16];
    size_t n = 0;
    memset(quoted, '\\', pair->slashes);
    n += pair->slashes;
    quoted[n++] = pair->quote;
    memcpy(quoted + n, SCRUB_FILTERED.p, SCRUB_FILTERED.n);
    n += SCRUB_FILTERED.n;
    memset(quoted + n, '\\', pair->slashes);
    n += pair->slashes;
    quoted[n++] = pair->quote;
    replace(k, from, to, str_of(quoted, n), SCRUB_NAME);
}

static void replace_value(struct scan *k, const struct pair *pair)
{
    struct str s = k->s;
    size_t from = pair->separator + 1, slashes = 0, next;
    if (from < s.n && s.p[from] == '>')
        from++;
    while (from < s.n && (s.p[from] == ' ' || s.p[from] == '\t'))
        from++;
    if (from + 1 < s.n && is_quote(s.p[from + 1]) && memchr("bBuUrR", s.p[from], 6))
        from++; /* Python's b'…' */
    while (from + slashes < s.n && slashes < SLASHES_MAX && s.p[from + slashes] == '\\')
        slashes++;
    size_t open = from + slashes;
    if (open >= s.n)
        return;
    if (!is_quote(s.p[open])) {
        if (!(k->looks & LOOK_LITERALS))
            replace_bare(k, pair, from);
        return;
    }
    size_t to = quoted_end(s, open + 1, s.p[open], slashes, &next);
    struct str value = str_of(s.p + open + 1, to - open - 1);
    if (value.n > 0 && !str_starts(value, SCRUB_FILTERED))
        replace(k, open + 1, to, SCRUB_FILTERED, SCRUB_NAME);
}

/* ---- parts of multipart forms: name="…" in a header, an empty line, the value, a line that begins with "--" */

static bool is_secret(const struct scan *k, struct str name)
{
    return scrub_is_sensitive(name, WHERE_KEY, k->rules) && !scrub_is_safe(name, k->rules);
}

/* Offset behind the character at `i`, which may be spelled: `letter` behind backslashes. `i`: there is another. */
static size_t behind(struct str s, size_t i, char c, char letter)
{
    size_t at = i;
    if (char_at(s, i) == c)
        return i + 1;
    while (at < s.n && at - i < SLASHES_MAX && s.p[at] == '\\')
        at++;
    return at > i && char_at(s, at) == letter ? at + 1 : i;
}

/* Offset behind the line break at `i`; `i`: there is none. */
static size_t break_end(struct str s, size_t i)
{
    size_t at = behind(s, i, '\r', 'r'), end = behind(s, at, '\n', 'n');
    return end > at ? end : i;
}

static bool is_delimiter(struct str s, size_t i)
{
    return char_at(s, i) == '-' && char_at(s, i + 1) == '-';
}

/* Where the value begins, or 0. What a search before has gone through is not searched again: each byte may be in the headers of many names. */
static size_t headers_end(struct scan *k, size_t i)
{
    enum { HEADERS_MAX = 512 };
    struct str s = k->s;
    size_t limit = i + HEADERS_MAX, known = k->headers_left && k->headers_left <= s.n ? s.n - k->headers_left : 0;
    if (i < known && k->headers_over)
        return 0;
    i = i < known ? known : i;
    k->headers_over = false;
    while (i < s.n && i < limit && !k->headers_over) {
        size_t line = break_end(s, i), next = break_end(s, line);
        if (line > i && next > line)
            return next;
        k->headers_over = line > i && is_delimiter(s, line);
        i = line > i ? line : i + 1;
    }
    k->headers_left = s.n > i ? s.n - i : 0;
    return 0;
}

static size_t part_end(struct str s, size_t i)
{
    for (; i < s.n; i++) {
        size_t line = break_end(s, i);
        if (line > i && is_delimiter(s, line))
            break;
    }
    return i;
}

/* Is the name at `i` one of a part? Then its line says so before it. */
static bool is_of_form(struct str s, size_t i)
{
    enum { DISPOSITION_MAX = 256 };
    for (size_t n = 0; i > 0 && n < DISPOSITION_MAX; n++) {
        i--;
        if (s.p[i] == '\n' || (s.p[i] == 'n' && i > 0 && s.p[i - 1] == '\\'))
            return false;
        if (s.p[i] == 'f' && str_starts(str_drop(s, i), STR("form-data")))
            return true;
    }
    return false;
}

static void read_part(struct scan *k, const struct pair *pair)
{
    struct str s = k->s;
    size_t from = pair->separator + 1;
    if (k->looks & LOOK_LITERALS || s.p[pair->separator] != '=' || !str_eq_nocase(pair->name, STR("name")))
        return;
    if (!is_of_form(s, pair->separator))
        return;
    while (from < s.n && from - pair->separator <= SLASHES_MAX && s.p[from] == '\\')
        from++;
    if (from < s.n && is_quote(s.p[from]))
        from++;
    size_t to = from;
    while (to < s.n && to - from < NAME_MAX_BYTES && (uint8_t)s.p[to] >= ' ' && !is_quote(s.p[to]) && s.p[to] != '\\' && s.p[to] != ';')
        to++;
    size_t value = is_secret(k, without_brackets(str_of(s.p + from, to - from))) ? headers_end(k, to) : 0;
    k->part_left = value ? s.n - value : 0;
}

static void replace_part(struct scan *k)
{
    size_t left = k->part_left;
    k->part_left = 0;
    if (left > k->s.n) /* something else took it along */
        return;
    size_t from = k->s.n - left;
    if (str_starts(str_drop(k->s, from), SCRUB_FILTERED))
        return;
    size_t to = part_end(k->s, from);
    if (!says_nothing(k->s, from, to))
        replace(k, from, to, SCRUB_FILTERED, SCRUB_NAME);
}

static void look_at_separator(struct scan *k)
{
    struct pair pair;
    size_t i = k->at++;
    if (!(k->looks & LOOK_PAIRS) || !separates(k->s, i) || !read_name(k, i, &pair))
        return;
    read_part(k, &pair);
    if (names_secret(k, &pair))
        replace_value(k, &pair);
}

/* ---- elements of XML: <name …>value</ */

static void look_at_tag(struct scan *k)
{
    struct str s = k->s;
    size_t from = ++k->at, to = from, local = from;
    for (; to < s.n && to - from <= NAME_MAX_BYTES && (is(s.p[to], NAME) || s.p[to] == ':'); to++)
        local = s.p[to] == ':' ? to + 1 : local;
    char after = char_at(s, to);
    k->tag = NO_TAG;
    if (after && strchr(" \t\r\n>/\\", after) && !(k->looks & LOOK_LITERALS) && is_secret(k, str_of(s.p + local, to - local)))
        k->tag = after == '>' ? TAG_BARE : TAG;
}

/* Where the value from `from` on ends. That a tag follows which closes something tells an element from List<Token>, from <password> in a manual
 * and from what Python prints of objects; but what is nothing but XML may have been cut, or leave out closing tags. */
static bool element_end(const struct scan *k, size_t from, bool is_tag, size_t *ret)
{
    struct str s = k->s;
    const char *found = memchr(s.p + from, '<', s.n - from);
    size_t to = found ? (size_t)(found - s.p) : s.n, next = to + 1;
    while (next < s.n && next - to <= SLASHES_MAX && s.p[next] == '\\')
        next++;
    *ret = to;
    return char_at(s, next) == '/' || (is_tag && k->is_markup && k->looks & LOOK_LOOSE);
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void look_at_tag_end(struct scan *k)
{
    const struct str cdata = STR("<![CDATA["), cdata_end = STR("]]>");
    struct str s = k->s;
    size_t i = k->at++, from = i + 1, to = s.n;
    char before = char_at(s, i - 1);
    bool is_open = k->tag != NO_TAG && before != '/', is_tag = k->tag == TAG_BARE || is_quote(before);
    k->tag = NO_TAG;
    if (!is_open)
        return;
    while (from < s.n && is_space(s.p[from]))
        from++;
    if (str_starts(str_drop(s, from), cdata)) {
        from += cdata.n;
        if (str_starts(str_drop(s, from), SCRUB_FILTERED))
            return;
        const char *found = memmem(s.p + from, s.n - from, cdata_end.p, cdata_end.n);
        to = found ? (size_t)(found - s.p) : s.n;
    } else if (!element_end(k, from, is_tag, &to)) {
        return;
    }
    while (to > from && is_space(s.p[to - 1]))
        to--;
    if (!says_nothing(s, from, to))
        replace(k, from, to, SCRUB_FILTERED, SCRUB_NAME);
}

/* ---- what shows by itself */

/* //user:password@host */
static void look_at_slash(struct scan *k)
{
    struct str s = k->s;
    size_t from = k->at + 2;
    k->at++;
    if (from >= s.n || s.p[from - 1] != '/')
        return;
    k->at = from;
    size_t end = run_end(s, from, AUTHORITY), at = end;
    while (at > from && s.p[at - 1] != '@')
        at--;
    if (at > from && memchr(s.p + from, ':', at - 1 - from))
        replace_by_kind(k, from, at - 1, SCRUB_URL);
}

/* Line breaks around a key's body stay, also where they are spelled "\n". */
static struct str key_body(struct str body)
{
    for (;;) {
        struct str before = body;
        body = str_trim(body);
        if (str_starts(body, STR("\\n")) || str_starts(body, STR("\\r")))
            body = str_drop(body, 2);
        if (str_ends(body, STR("\\n")) || str_ends(body, STR("\\r")))
            body.n -= 2;
        if (body.n == before.n)
            return body;
    }
}

static size_t label_end(struct str s, size_t i)
{
    while (i < s.n && (is_digit(s.p[i]) || (s.p[i] >= 'A' && s.p[i] <= 'Z') || s.p[i] == ' '))
        i++;
    return i;
}

/* -----BEGIN … PRIVATE KEY----- */
static void look_at_dash(struct scan *k)
{
    const struct str begin = STR("-----BEGIN "), end = STR("-----END "), dashes = STR("-----");
    struct str rest = str_drop(k->s, k->at);
    if (!str_starts(rest, begin)) {
        k->at++;
        return;
    }
    size_t stop = label_end(rest, begin.n);
    struct str body = str_drop(rest, stop), label = str_take(rest, stop);
    k->at += stop;
    if (!str_starts(body, dashes) || !memmem(label.p, label.n, "PRIVATE KEY", 11))
        return;
    body = str_drop(body, dashes.n);
    const char *found = memmem(body.p, body.n, end.p, end.n);
    body.n = found ? (size_t)(found - body.p) : body.n;
    k->at = (size_t)(body.p + body.n - k->s.p);
    body = key_body(body);
    size_t from = (size_t)(body.p - k->s.p);
    if (body.n > 0 && !str_eq(body, SCRUB_FILTERED))
        replace_by_kind(k, from, from + body.n, SCRUB_KEY);
}

static bool has_digit(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (is_digit(s.p[i]))
            return true;
    return false;
}

static size_t base64_end(struct str s, size_t i)
{
    i = run_end(s, i, BASE64);
    for (unsigned padding = 0; padding < 2 && i < s.n && s.p[i] == '='; padding++)
        i++;
    return i;
}

/* Bearer and Basic, with what follows. In running text both are also words. */
static void look_at_scheme(struct scan *k)
{
    enum { TOKEN_MIN = 8, TOKEN_CLEAR = 20 };
    struct str s = k->s, rest = str_drop(s, k->at);
    size_t i = k->at++;
    if (rest.n < 2 || !memchr("eEaA", rest.p[1], 4))
        return;
    bool bearer = str_starts_nocase(rest, STR("bearer"));
    if ((!bearer && !str_starts_nocase(rest, STR("basic"))) || (i > 0 && is(s.p[i - 1], WORD)))
        return;
    size_t from = i + (bearer ? 6 : 5);
    if (from >= s.n || !memchr(" :/", s.p[from], 3))
        return;
    while (from < s.n && memchr(" :/", s.p[from], 3))
        from++;
    size_t to = bearer ? run_end(s, from, TOKEN) : base64_end(str_take(s, from + SCRUB_BASIC_ENOUGH), from);
    struct str token = str_of(s.p + from, to - from);
    bool whole = i == 0 && !k->changed && to == s.n && !(k->looks & (LOOK_PROSE | LOOK_LABEL)) && token.n > 0;
    k->at = from;
    if (bearer ? whole || token.n >= TOKEN_CLEAR || (token.n >= TOKEN_MIN && has_digit(token)) : scrub_is_basic(token))
        replace_by_kind(k, from, bearer ? to : base64_end(s, from), SCRUB_BEARER);
}

static void look_at_digit(struct scan *k)
{
    struct str s = k->s;
    size_t i = k->at, n = 0, end = i;
    enum scrub_reason reason = SCRUB_CARD;
    if (i > 0 && is(s.p[i - 1], WORD)) {
        n = k->looks & LOOK_PATTERNS && i >= 2 ? scrub_iban(s, i - 2) : 0;
        k->at = run_end(s, i, WORD);
        if (n > 0)
            replace_by_kind(k, i - 2, i - 2 + n, SCRUB_IBAN);
        return;
    }
    while (end < s.n && is_digit(s.p[end]))
        end++;
    char after = char_at(s, end);
    if (k->looks & LOOK_PATTERNS && (end - i >= 13 || (end - i == 4 && (after == ' ' || after == '-')))) {
        n = scrub_card(s, i);
    } else if (k->looks & LOOK_PATTERNS && end - i == 3 && after == '-') {
        n = scrub_ssn(s, i);
        reason = SCRUB_SSN;
    } else if (k->looks & LOOK_IPS && end - i <= 3 && after == '.') {
        n = scrub_ipv4(s, i);
        reason = SCRUB_IP;
    }
    k->at = end;
    if (n > 0)
        replace_by_kind(k, i, i + n, reason);
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static void look_at_colon(struct scan *k)
{
    struct str s = k->s;
    size_t i = k->at, from = i;
    look_at_separator(k);
    if (!(k->looks & LOOK_IPS) || k->s.n != s.n)
        return;
    while (from > 0 && i - from < 4 && is_hex(s.p[from - 1]))
        from--;
    if (from > 0 && (s.p[from - 1] == ':' || s.p[from - 1] == '.'))
        return;
    size_t n = scrub_ipv6(s, from);
    if (n > 0)
        replace_by_kind(k, from, from + n, SCRUB_IP);
}

/* local@domain.tld */
static void look_at_address(struct scan *k)
{
    enum { LOCAL_MAX = 64, DOMAIN_MAX = 255 };
    struct str s = k->s;
    size_t i = k->at++, from = i, to = i + 1, dot = 0;
    while (from > 0 && i - from <= LOCAL_MAX && is(s.p[from - 1], LOCAL))
        from--;
    for (; to < s.n && to - i <= DOMAIN_MAX && (is(s.p[to], TOKEN) && !memchr("_~+/=", s.p[to], 5)); to++)
        if (s.p[to] == '.' && to + 1 < s.n && is(s.p[to + 1], WORD))
            dot = to;
    while (to > i && (s.p[to - 1] == '.' || s.p[to - 1] == '-'))
        to--;
    if (from < i && i - from <= LOCAL_MAX && dot > i + 1 && to > dot + 2 && !is_digit(s.p[dot + 1]))
        replace_by_kind(k, from, to, SCRUB_EMAIL);
}

/* ---- the pass */

/* T1: which looks a byte can matter to. */
static const uint8_t triggers[256] = {
    ['='] = LOOK_PAIRS,    [':'] = LOOK_PAIRS | LOOK_IPS, ['<'] = LOOK_PAIRS,
    ['>'] = LOOK_PAIRS,    ['/'] = LOOK_PATTERNS,         ['-'] = LOOK_PATTERNS,
    ['b'] = LOOK_PATTERNS, ['B'] = LOOK_PATTERNS,         ['0' ... '9'] = LOOK_PATTERNS | LOOK_IPS,
    ['@'] = LOOK_PROSE,
};

static void look(struct scan *k)
{
    switch (k->s.p[k->at]) {
    case '=':
        look_at_separator(k);
        break;
    case ':':
        look_at_colon(k);
        break;
    case '<':
        look_at_tag(k);
        break;
    case '>':
        look_at_tag_end(k);
        break;
    case '/':
        look_at_slash(k);
        break;
    case '-':
        look_at_dash(k);
        break;
    case 'b':
    case 'B':
        look_at_scheme(k);
        break;
    case '@':
        look_at_address(k);
        break;
    default: /* the rest of `triggers` */
        look_at_digit(k);
    }
}

/* Offset of the next byte from `i` on that a look is for. */
static inline size_t next_trigger(struct str s, size_t i, uint8_t looks)
{
    const uint8_t *p = (const uint8_t *)s.p;
    for (; i + 4 <= s.n; i += 4)
        if ((triggers[p[i]] | triggers[p[i + 1]] | triggers[p[i + 2]] | triggers[p[i + 3]]) & looks)
            break;
    while (i < s.n && !(triggers[p[i]] & looks))
        i++;
    return i;
}

/* Also where it is a literal. */
static bool begins_with_tag(struct str s)
{
    size_t i = str_starts(s, STR("\xEF\xBB\xBF")) ? 3 : 0;
    while (i < s.n && s.p[i] && strchr(" \t\r\nbBuUrR\\\"'", s.p[i]))
        i++;
    return char_at(s, i) == '<';
}

bool scrub_look(struct str text, unsigned looks, const struct scrub_rules *rules, struct buf *out, struct scrub_remarks *remarks)
{
    size_t at = next_trigger(text, 0, (uint8_t)looks);
    if (at == text.n)
        return false; /* most texts */
    struct scan k = {
        .s = text, .at = at, .is_markup = begins_with_tag(text), .looks = looks, .rules = rules, .out = out, .remarks = remarks};
    remarks->n = 0;
    remarks->reasons = 0;
    for (; k.at < k.s.n || k.part_left; k.at = next_trigger(k.s, k.at, (uint8_t)looks)) {
        if (k.part_left && k.s.n - k.at <= k.part_left)
            replace_part(&k);
        else
            look(&k);
    }
    if (k.changed)
        put(&k, k.s);
    return k.changed;
}

bool scrub_member(struct str name, struct str text, const struct scrub_rules *rules, struct buf *out)
{
    struct scrub_remarks ignored;
    unsigned looks = (rules->enabled ? LOOK_PATTERNS | LOOK_PAIRS : 0u) | (rules->drops_ip ? LOOK_IPS : 0u);
    if (scrub_is_safe(name, rules))
        return false;
    if (!rules->enabled || !scrub_is_sensitive(name, WHERE_KEY, rules))
        return looks && scrub_look(text, looks, rules, out, &ignored);
    if (text.n == 0 || str_eq(text, SCRUB_FILTERED))
        return false;
    buf_append_str(out, SCRUB_FILTERED);
    return true;
}

bool scrub_text(struct str text, const struct scrub_rules *rules, struct buf *out)
{
    struct scrub_remarks ignored;
    unsigned looks = (rules->enabled ? LOOK_PATTERNS | LOOK_PAIRS | LOOK_PROSE : 0u) | (rules->drops_ip ? LOOK_IPS : 0u);
    return looks && scrub_look(text, looks, rules, out, &ignored);
}
