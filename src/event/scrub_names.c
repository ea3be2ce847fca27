/* scrub_names.c: which names mean secrets (protocol §5.15). Asked for every key of every event, so: a name is first looked through for
 * the first two letters of any word of the table, by a table of 32 words, and only where they stand are the words compared. Whole names
 * are told apart by length and first letter before they are compared. */
#include "scrub_parts.h"

/* Where in a name a word has to stand. */
enum { ANYWHERE, AT_END };

struct word {
    struct str text; /* lower case */
    uint8_t stands;
    uint8_t where; /* of enum scrub_where */
};

enum { ALL = WHERE_KEY | WHERE_COOKIE | WHERE_LOOSE };

/* By first letter. A new word moves the numbers in `by_letter` and may need a bit in `pairs`; test_scrub.c tells. "token" at the end only:
 * `max_tokens` and `token_type` are no secrets. */
static const struct word words[] = {
    {STR("api_key"), ANYWHERE, ALL},
    {STR("api-key"), ANYWHERE, ALL},
    {STR("apikey"), ANYWHERE, ALL},
    {STR("auth"), ANYWHERE, WHERE_KEY | WHERE_COOKIE},
    {STR("authorization"), AT_END, WHERE_LOOSE},
    {STR("bearer"), ANYWHERE, WHERE_KEY | WHERE_COOKIE},
    {STR("credential"), ANYWHERE, ALL},
    {STR("csrf"), ANYWHERE, WHERE_COOKIE},
    {STR("jwt"), ANYWHERE, WHERE_COOKIE},
    {STR("mysql_pwd"), ANYWHERE, ALL},
    {STR("password"), ANYWHERE, ALL},
    {STR("passwd"), ANYWHERE, ALL},
    {STR("passphrase"), ANYWHERE, ALL},
    {STR("privatekey"), ANYWHERE, ALL},
    {STR("private_key"), ANYWHERE, ALL},
    {STR("private-key"), ANYWHERE, ALL},
    {STR("secret"), ANYWHERE, ALL},
    {STR("sess"), ANYWHERE, WHERE_COOKIE},
    {STR("sid"), AT_END, WHERE_COOKIE},
    {STR("token"), AT_END, ALL},
    {STR("two_factor"), ANYWHERE, ALL},
    {STR("two-factor"), ANYWHERE, ALL},
    {STR("token"), ANYWHERE, WHERE_COOKIE},
    {STR("xsrf"), ANYWHERE, WHERE_COOKIE},
};

/* The words of each first letter: from, to. */
static const uint8_t by_letter[32][2] = {
    ['a' & 31] = {0, 5},   ['b' & 31] = {5, 6},   ['c' & 31] = {6, 8},   ['j' & 31] = {8, 9},   ['m' & 31] = {9, 10},
    ['p' & 31] = {10, 16}, ['s' & 31] = {16, 19}, ['t' & 31] = {19, 23}, ['x' & 31] = {23, 24},
};

#define L(c) (UINT32_C(1) << ((c)&31))
/* pairs[first letter & 31] has the bit of each second letter. Other characters share the bits of letters: only the comparison counts. */
static const uint32_t pairs[32] = {
    ['a' & 31] = L('p') | L('u'), ['b' & 31] = L('e'),          ['c' & 31] = L('r') | L('s'), ['j' & 31] = L('w'), ['m' & 31] = L('y'),
    ['p' & 31] = L('a') | L('r'), ['s' & 31] = L('e') | L('i'), ['t' & 31] = L('o') | L('w'), ['x' & 31] = L('s'),
};

/* Names that count as a whole, shortest first: one-time passwords, and cookies, whose names SDKs also use elsewhere. */
static const struct str wholes[] = {
    STR("su"),
    STR("otp"),
    STR("sudo"),
    STR("csrf"),
    STR("xsrf"),
    STR("_xsrf"),
    STR("_csrf"),
    STR("cookie"),
    STR("session"),
    STR("symfony"),
    STR("sentrysid"),
    STR("__session"),
    STR("sessionid"),
    STR("phpsessid"),
    STR("mysession"),
    STR("fastcsrf"),
    STR("jsessionid"),
    STR("set-cookie"),
    STR("_iris_csrf"),
    STR("http_cookie"),
    STR("_vercel_jwt"),
    STR("user_session"),
    STR("irissessionid"),
    STR("fasthttpsessionid"),
    STR("http.request.header.cookie"),
    STR("http.response.header.set-cookie"),
};
enum { WHOLE_MAX = 32 };

/* First letters of the whole names of each length. */
static const uint32_t whole_starts[WHOLE_MAX] = {
    [2] = L('s'),
    [3] = L('o'),
    [4] = L('s') | L('c') | L('x'),
    [5] = L('_'),
    [6] = L('c'),
    [7] = L('s'),
    [8] = L('f'),
    [9] = L('s') | L('_') | L('p') | L('m'),
    [10] = L('j') | L('s') | L('_'),
    [11] = L('_') | L('h'),
    [12] = L('u'),
    [13] = L('i'),
    [17] = L('f'),
    [26] = L('h'),
    [31] = L('h'),
};

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static bool matches(struct str name, size_t i, struct str word)
{
    if (name.n - i < word.n)
        return false;
    for (size_t k = 0; k < word.n; k++) {
        char c = name.p[i + k];
        if ((is_upper(c) ? c | 32 : c) != word.p[k])
            return false;
    }
    return true;
}

/* "author" and "authority" are no secrets, "authorization" and "authorised" are. */
static bool is_author(struct str rest)
{
    return str_starts_nocase(rest, STR("author")) && !str_starts_nocase(rest, STR("authoriz")) && !str_starts_nocase(rest, STR("authoris"));
}

static bool stands(struct str name, size_t i, const struct word *w, enum scrub_where where)
{
    bool at_end = i + w->text.n == name.n;
    /* In running text a name is a word of its own: "InvalidToken: …" says nothing secret. */
    if (where == WHERE_LOOSE)
        return at_end && (i == 0 || !is_letter(name.p[i - 1]));
    return (w->stands == ANYWHERE || at_end) && !is_author(str_drop(name, i));
}

static bool word_at(struct str name, size_t i, enum scrub_where where)
{
    const uint8_t *range = by_letter[name.p[i] & 31];
    for (size_t k = range[0]; k < range[1]; k++)
        if (words[k].where & where && matches(name, i, words[k].text) && stands(name, i, &words[k], where))
            return true;
    return false;
}

static bool is_whole(struct str name)
{
    if (name.n >= WHOLE_MAX || name.n == 0 || !(whole_starts[name.n] & L(name.p[0])))
        return false;
    for (size_t k = 0; k < ARRAY_LEN(wholes); k++)
        if (wholes[k].n == name.n && matches(name, 0, wholes[k]))
            return true;
    return false;
}

static bool contains(struct str name, struct str word)
{
    for (size_t i = 0; word.n > 0 && i + word.n <= name.n; i++)
        if (str_eq_nocase(str_of(name.p + i, word.n), word))
            return true;
    return false;
}

bool scrub_holds_own(struct str text, const struct scrub_rules *rules)
{
    for (size_t i = 0; i < rules->n_extra_names; i++)
        if (contains(text, rules->extra_names[i]))
            return true;
    return false;
}

/* Python's SDK sends keys as repr() writes them: 'token', b'cookie'. */
static struct str unquoted(struct str name)
{
    size_t from = 0;
    if (name.n < 3 || (name.p[name.n - 1] != '\'' && name.p[name.n - 1] != '"'))
        return name;
    while (from < 2 && memchr("bBuUrRfF", name.p[from], 8))
        from++;
    return name.p[from] == name.p[name.n - 1] && from + 2 < name.n ? str_of(name.p + from + 1, name.n - from - 2) : name;
}

bool scrub_is_sensitive(struct str name, enum scrub_where where, const struct scrub_rules *rules)
{
    name = unquoted(name);
    for (size_t i = 0; i + 1 < name.n; i++)
        if (pairs[name.p[i] & 31] & L(name.p[i + 1]) && word_at(name, i, where))
            return true;
    if (is_whole(name) && (where != WHERE_LOOSE || scrub_takes_line(name)))
        return true;
    return scrub_holds_own(name, rules);
}

bool scrub_ends_own(struct str text, const struct scrub_rules *rules)
{
    for (size_t i = 0; i < rules->n_extra_names; i++) {
        struct str own = rules->extra_names[i];
        if (own.n > 0 && own.n <= text.n && str_eq_nocase(str_drop(text, text.n - own.n), own))
            return true;
    }
    return false;
}

bool scrub_is_named(struct str name, const struct scrub_rules *rules)
{
    for (size_t i = 0; i < rules->n_extra_names; i++)
        if (str_eq_nocase(name, rules->extra_names[i]))
            return true;
    return false;
}

bool scrub_drops_address(const struct scrub_rules *rules)
{
    return rules->drops_ip || (rules->enabled && scrub_is_named(STR("ip_address"), rules));
}

bool scrub_is_safe(struct str name, const struct scrub_rules *rules)
{
    struct str bare = unquoted(name);
    for (size_t i = 0; i < rules->n_safe_names; i++)
        if (str_eq_nocase(name, rules->safe_names[i]) || str_eq_nocase(bare, rules->safe_names[i]))
            return true;
    return false;
}

bool scrub_is_option(struct str word, const struct scrub_rules *rules)
{
    enum { OPTION_MAX = 128 };
    word = unquoted(word);
    if (!str_starts(word, STR("--")) || str_starts(word, STR("--no-")))
        return false;
    struct str name = str_drop(word, 2);
    for (size_t i = 0; i < name.n; i++)
        if (!is_letter(name.p[i]) && !(name.p[i] >= '0' && name.p[i] <= '9') && name.p[i] != '_' && name.p[i] != '-')
            return false;
    return name.n <= OPTION_MAX && scrub_is_sensitive(name, WHERE_LOOSE, rules) && !scrub_is_safe(name, rules);
}

bool scrub_is_switch(struct str word)
{
    return str_starts(unquoted(word), STR("-"));
}

bool scrub_takes_line(struct str name)
{
    return str_eq_nocase(name, STR("cookie")) || str_eq_nocase(name, STR("set-cookie")) || str_eq_nocase(name, STR("authorization")) ||
           str_eq_nocase(name, STR("proxy-authorization"));
}
