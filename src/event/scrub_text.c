/* scrub_text.c: what goes out of one text.
 *
 * T1  One pass from left to right. A table says at which bytes something that is looked for could be recognised: '=' and ':', also as %3D
 *     and %3A, between name and value, '(' and '[' before a pair, '<' and '>' around the name of an element, "//" before credentials, '-' before a private key and before an option, digits of numbers, the 'B' of
 *     Bearer and Basic, '@' in an address.
 *     All other bytes are stepped over.
 * T2  Linear: from such a byte a bounded number of bytes is looked at, or bytes that the pass will not look at again, or bytes of a kind
 *     that ends at the next such byte. Base64 is no such kind: it may be full of the word Basic, so its end is looked for when it goes.
 * T3  What was replaced, and all before it, is gone from `s`: nothing is replaced twice, and what follows is judged as if it followed the
 *     placeholder.
 * T4  Placeholders offer nothing to a second pass. */
#include "scrub_scan.h"

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

#define LETTER (NAME | BARE | TOKEN | AUTHORITY | WORD | LOCAL | BASE64)
const uint8_t scrub_classes[256] = {
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

/* ---- replacing */

static void put(struct scan *k, struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        k->points += (s.p[i] & 0xC0) != 0x80;
    buf_append_str(k->out, s);
}

void scrub_replace(struct scan *k, size_t from, size_t to, struct str with, enum scrub_reason reason)
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
    scrub_replace(k, from, to, kind ? reasons[reason].of_prose : SCRUB_FILTERED, reason);
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
    if (char_at(k->s, k->at + 1) != '-') { /* most are no more than that */
        k->at++;
        return;
    }
    struct str rest = str_drop(k->s, k->at);
    if (!str_starts(rest, begin)) {
        k->at += !scrub_option(k);
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
    scrub_separator(k);
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
    ['='] = LOOK_PAIRS,
    [':'] = LOOK_PAIRS | LOOK_IPS,
    ['<'] = LOOK_PAIRS,
    ['>'] = LOOK_PAIRS,
    ['/'] = LOOK_PATTERNS,
    ['-'] = LOOK_PATTERNS,
    ['b'] = LOOK_PATTERNS,
    ['B'] = LOOK_PATTERNS,
    ['0' ... '9'] = LOOK_PATTERNS | LOOK_IPS,
    ['@'] = LOOK_PROSE,
    ['('] = LOOK_PAIRS,
    ['['] = LOOK_PAIRS,
    ['%'] = LOOK_PAIRS,
};

/* Behind a bracket: the first byte of a string, with its prefix, or of backslashes before its quote. */
static bool may_be_string(char c)
{
    switch (c) {
    case '"':
    case '\'':
    case '\\':
    case 'b':
    case 'B':
    case 'f':
    case 'F':
    case 'r':
    case 'R':
    case 'u':
    case 'U':
        return true;
    default:
        return false;
    }
}

static void look(struct scan *k)
{
    switch (k->s.p[k->at]) {
    case '=':
        scrub_separator(k);
        break;
    case ':':
        look_at_colon(k);
        break;
    case '%':
        scrub_encoded(k);
        break;
    case '(':
    case '[':
        if (may_be_string(char_at(k->s, k->at + 1)))
            scrub_tuple(k);
        else
            k->at++;
        break;
    case '<':
        scrub_tag(k);
        break;
    case '>':
        scrub_tag_end(k);
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
            scrub_part(&k);
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
