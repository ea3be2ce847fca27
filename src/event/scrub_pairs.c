/* scrub_pairs.c: names and values in one text.
 *
 * Pairs are recognised without knowing the language that they are written in: forms, queries, cookies, JSON (also JSON inside a string of JSON,
 * where quotes have backslashes before them), and what Python, Ruby, PHP, Go and others print of their objects. Elements of XML and parts of multipart
 * forms are pairs, too. Between their name and their value stands what has to be looked at as everything else (attributes, headers), so that the
 * pass goes on and remembers that there is a value to come. */
#include "scrub_scan.h"

/* ---- pairs of name and value */

enum { NAME_MAX_BYTES = 128, SLASHES_MAX = 15 };

struct pair {
    struct str name; /* its last word; may be empty */
    struct str wide; /* all that may belong to it: what stands in its quotes */
    bool is_escaped; /* letters of it may be spelled %70 or \\u0070 */
    char quote;      /* of the name; 0: none */
    size_t slashes;  /* before its quotes: the text is itself in a string */
    size_t separator;
    enum {
        NO_INDEX,
        INDEX,
        INDEX_QUOTED
    } index; /* PHP's [name] => value up to the end of the line, ["name"]=> and the value in the next one */
};

/* The last bytes of a name are what matters: "user[password]", "user%5Btoken%5D". */
static struct str without_brackets(struct str name)
{
    while (name.n > 0 && name.p[name.n - 1] == ']')
        name.n--;
    while (name.n > 3 && str_eq_nocase(str_of(name.p + name.n - 3, 3), STR("%5D")))
        name.n -= 3;
    return name;
}

/* What stands in the quotes that end at `end`; without quotes, all that a name of a project's own can be made of. */
static struct str wide_name(struct str s, size_t end, char quote)
{
    size_t start = end;
    while (start > 0 && end - start < NAME_MAX_BYTES) {
        char c = s.p[start - 1];
        if (quote ? c == quote || c == '\n' : !is(c, NAME) && c != ' ' && c != '+' && (uint8_t)c < 0x80)
            break;
        start--;
    }
    return quote && char_at(s, start - 1) != quote ? (struct str){0} : str_of(s.p + start, end - start);
}

/* The name in [name] or ["name"], also [name:protected], that ends before `end`. */
static bool read_index(struct str s, size_t end, struct pair *pair)
{
    size_t start = end - 1;
    while (start > 0 && end - start < NAME_MAX_BYTES && s.p[start - 1] != '[' && s.p[start - 1] != '\n')
        start--;
    char before = char_at(s, start - 2);
    if (char_at(s, start - 1) != '[' || (before && !strchr(" \t\r\n(", before)))
        return false;
    struct str rest = str_of(s.p + start, end - 1 - start), name = str_cut(&rest, ':');
    pair->index = INDEX;
    if (name.n > 2 && is_quote(*name.p)) {
        pair->index = INDEX_QUOTED;
        name = str_of(name.p + 1, name.n - (name.p[name.n - 1] == *name.p ? 2 : 1));
    }
    pair->name = name;
    return name.n > 0;
}

/* The name before the separator at `i`. */
static bool read_name(const struct scan *k, size_t i, struct pair *ret)
{
    const char *p = k->s.p;
    size_t end = i;
    struct pair pair = {.separator = i};
    while (end > 0 && (p[end - 1] == ' ' || p[end - 1] == '\t'))
        end--;
    if (end > 1 && p[end - 1] == ']' && char_at(k->s, i + 1) == '>' && read_index(k->s, end, &pair)) {
        *ret = pair;
        return true;
    }
    if (end > 0 && is_quote(p[end - 1])) {
        pair.quote = p[--end];
        for (; end > 0 && p[end - 1] == '\\' && pair.slashes < SLASHES_MAX; end--)
            pair.slashes++;
    }
    size_t start = end;
    while (start > 0 && end - start < NAME_MAX_BYTES && is(p[start - 1], NAME))
        start--;
    pair.name = without_brackets(str_of(p + start, end - start));
    pair.is_escaped = pair.quote ? char_at(k->s, start - 1) == '\\' : pair.name.n > 0 && memchr(pair.name.p, '%', pair.name.n);
    if (pair.is_escaped || k->rules->n_extra_names > 0)
        pair.wide = wide_name(k->s, end, pair.quote);
    *ret = pair;
    return pair.wide.n > 0 || (pair.name.n > 0 && p[start] != '['); /* T4: a placeholder is no name */
}

/* "==", "!=", "<=", "::", ":=" separate no name from its value. */
static bool separates(struct str s, size_t i)
{
    char before = char_at(s, i - 1), after = char_at(s, i + 1);
    return after != '=' && before != s.p[i] && (s.p[i] == ':' ? after != ':' : !memchr("!<>:", before, 4));
}

static bool is_meant(const struct scan *k, struct str name, enum scrub_where where)
{
    return name.n > 0 && *name.p != '[' && scrub_is_sensitive(name, where, k->rules) && !scrub_is_safe(name, k->rules);
}

static int hex_digit(char c)
{
    if (is_digit(c))
        return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The number of `n` digits at `i`, or -1. */
static int hex_at(struct str s, size_t i, size_t n)
{
    int number = 0;
    for (; n > 0; n--, i++) {
        int digit = hex_digit(char_at(s, i));
        if (digit < 0)
            return -1;
        number = number << 4 | digit;
    }
    return number;
}

/* The byte at `i`, of which %XX is a spelling, and so is %25XX: a URL in a URL. */
static char byte_at(struct str s, size_t i, size_t *ret_next)
{
    enum { LEVELS_MAX = 3 };
    size_t at = i + 1;
    *ret_next = at;
    if (s.p[i] != '%')
        return s.p[i];
    for (unsigned n = 1; n < LEVELS_MAX && char_at(s, at) == '2' && char_at(s, at + 1) == '5' && hex_at(s, at + 2, 2) >= 0; n++)
        at += 2;
    int number = hex_at(s, at, 2);
    if (number < 0)
        return '%';
    *ret_next = at + 2;
    return (char)number;
}

/* Of the plane that \u0000 can tell. */
static size_t put_utf8(char *p, unsigned c)
{
    if (c < 0x80) {
        p[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        p[0] = (char)(0xC0 | c >> 6);
        p[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    p[0] = (char)(0xE0 | c >> 12);
    p[1] = (char)(0x80 | (c >> 6 & 0x3F));
    p[2] = (char)(0x80 | (c & 0x3F));
    return 3;
}

/* The name as it is meant, in `space`: %70 and \u0070 are letters and, without quotes, '+' is a blank. It does not become longer. */
static struct str spelled(struct str name, char quote, char space[NAME_MAX_BYTES])
{
    size_t n = 0;
    for (size_t i = 0, next; i < name.n; i = next) {
        size_t letter = i;
        while (letter < name.n && name.p[letter] == '\\')
            letter++;
        int number = letter > i && char_at(name, letter) == 'u' ? hex_at(name, letter + 1, 4) : -1;
        if (number >= 0) {
            n += put_utf8(space + n, (unsigned)number);
            next = letter + 5;
        } else {
            char c = byte_at(name, i, &next);
            space[n++] = c;
            if (c == '+' && !quote)
                space[n - 1] = ' ';
        }
    }
    return str_of(space, n);
}

/* The last word of a name. */
static struct str last_word(struct str name)
{
    size_t start = name.n;
    while (start > 0 && is(name.p[start - 1], NAME))
        start--;
    return without_brackets(str_drop(name, start));
}

static bool names_secret(const struct scan *k, const struct pair *pair)
{
    bool loose = k->s.p[pair->separator] == ':' && !pair->quote;
    char space[NAME_MAX_BYTES];
    if (loose && !(k->looks & LOOK_LOOSE))
        return false;
    enum scrub_where where = loose ? WHERE_LOOSE : k->looks & LOOK_COOKIES ? WHERE_COOKIE : WHERE_KEY;
    if (pair->wide.n == 0 || is_meant(k, pair->name, where))
        return is_meant(k, pair->name, where);
    struct str name = spelled(pair->wide, pair->quote, space);
    if (pair->is_escaped && is_meant(k, last_word(name), where))
        return true;
    return (pair->quote ? scrub_holds_own(name, k->rules) : scrub_ends_own(name, k->rules)) && !scrub_is_safe(name, k->rules) &&
           !scrub_is_safe(pair->name, k->rules);
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
    static const struct str words[] = {STR("null"), STR("None"),  STR("nil"),  STR("undefined"), STR("true"),      STR("false"),
                                       STR("True"), STR("False"), STR("NULL"), STR("bool(true"), STR("bool(false")};
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

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Where the brackets of an array or object as PHP prints them begin: "Array\n(", "Foo Object\n(", "array(1) {", "object(Foo)#1 (1) {"; 0: there are none. */
static size_t nested_start(struct str s, size_t from)
{
    enum { HEAD_MAX = 512 }; /* the pass may come here for each byte */
    size_t at = from, next;
    s = str_take(s, from + HEAD_MAX);
    if (str_starts(str_drop(s, from), STR("array(")) || str_starts(str_drop(s, from), STR("object("))) {
        while (at < s.n && s.p[at] != '{' && s.p[at] != '\n')
            at++;
        return char_at(s, at) == '{' ? at : 0;
    }
    while (at < s.n && s.p[at] != '(' && break_end(s, at) == at)
        at++;
    struct str head = str_trim(str_of(s.p + from, at - from));
    while (at < s.n && (is_space(s.p[at]) || break_end(s, at) > at)) {
        next = break_end(s, at);
        at = next > at ? next : at + 1;
    }
    bool is_nested =
        str_eq(head, STR("Array")) || str_ends(head, STR(" Object")) || str_ends(head, STR(" Enum")) || memmem(head.p, head.n, " Enum:", 6);
    return is_nested && char_at(s, at) == '(' ? at : 0;
}

/* Offset behind the bracket that closes the one at `i`, or the end of the text. PHP sets its own apart; values may hold any. */
static size_t nested_end(struct str s, size_t i)
{
    size_t depth = 1;
    for (char open = s.p[i], close = open == '(' ? ')' : '}'; ++i < s.n;) {
        bool is_apart = is_space(s.p[i - 1]) || (s.p[i - 1] == 'n' && char_at(s, i - 2) == '\\');
        depth += is_apart && s.p[i] == open;
        if (is_apart && s.p[i] == close && --depth == 0)
            return i + 1;
    }
    return s.n;
}

/* print_r() writes values as they are: up to the end of the line or, where lines were joined, to the next index. */
static size_t index_end(struct str s, size_t i)
{
    while (i < s.n && s.p[i] != '\n' && s.p[i] != '\r' && (s.p[i] != ' ' || (char_at(s, i + 1) != '[' && char_at(s, i + 1) != ')')))
        i++;
    return i;
}

static size_t indexed_end(struct str s, const struct pair *pair, size_t from)
{
    size_t to = pair->index == INDEX ? index_end(s, from) : run_end(s, from, BARE);
    size_t nested = nested_start(s, from), end = nested ? nested_end(s, nested) : 0;
    return end > to ? end : to;
}

/* A value that is not in quotes. Where the name is, the placeholder must be. */
static void replace_bare(struct scan *k, const struct pair *pair, size_t from)
{
    struct str s = k->s;
    bool bracket = from < s.n && !pair->index && (s.p[from] == '{' || s.p[from] == '[');
    size_t to = run_end(s, from, BARE);
    if (says_nothing(s, from, to))
        return;
    if (pair->index)
        to = indexed_end(s, pair, from);
    else if (bracket)
        to = bracket_end(s, from, pair->slashes);
    else if (s.p[pair->separator] == ':' && !pair->quote && scrub_takes_line(pair->name))
        to = line_end(s, from);
    else
        to = behind_scheme(s, from, to);
    if (!pair->quote) {
        scrub_replace(k, from, to, SCRUB_FILTERED, SCRUB_NAME);
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
    scrub_replace(k, from, to, str_of(quoted, n), SCRUB_NAME);
}

/* Offset of the quote that Python's b'…', u'…', rb'…' begin with, or `i`. */
static size_t prefix_end(struct str s, size_t i)
{
    size_t to = i;
    while (to < s.n && to - i < 2 && memchr("bBuUrRfF", s.p[to], 8))
        to++;
    return is_quote(char_at(s, to)) ? to : i;
}

/* Offset behind what says the type of the string that follows: Some("x"), SecretStr('x'), string(1) "x"; or `i`. */
static size_t type_end(struct str s, size_t i)
{
    enum { TYPE_MAX = 32 };
    size_t to = i, at = i;
    for (;;) {
        while (at - i < TYPE_MAX && is(char_at(s, at), WORD))
            at++;
        if (at == to || char_at(s, at) != '(')
            break;
        to = ++at;
    }
    if (to == i)
        return i;
    size_t digits = to;
    while (is_digit(char_at(s, digits)))
        digits++;
    if (digits > to && char_at(s, digits) == ')' && char_at(s, digits + 1) == ' ')
        to = digits + 2;
    return char_at(s, to) == '\\' || is_quote(char_at(s, prefix_end(s, to))) ? to : i;
}

static void replace_value(struct scan *k, const struct pair *pair)
{
    struct str s = k->s;
    size_t from = pair->separator + 1, slashes = 0, next;
    if (from < s.n && s.p[from] == '>')
        from++;
    while (from < s.n &&
           (s.p[from] == ' ' || s.p[from] == '\t' || (pair->index == INDEX_QUOTED && memchr("\r\n&", s.p[from], 3)))) /* &: a reference */
        from++;
    if (!(k->looks & LOOK_LITERALS))
        from = type_end(s, from);
    from = prefix_end(s, from);
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
        scrub_replace(k, open + 1, to, SCRUB_FILTERED, SCRUB_NAME);
}

/* The value of ('name', 'value') is all that follows the comma. */
static bool closes(struct str s, size_t comma)
{
    enum { VALUE_ENOUGH = 1024 }; /* the pass may come here for each byte */
    size_t from = comma + 1, slashes = 0, next;
    s = str_take(s, comma + VALUE_ENOUGH);
    while (char_at(s, from) == ' ')
        from++;
    from = prefix_end(s, from);
    while (slashes < SLASHES_MAX && char_at(s, from + slashes) == '\\')
        slashes++;
    char quote = char_at(s, from + slashes);
    if (is_quote(quote))
        (void)quoted_end(s, from + slashes + 1, quote, slashes, &next);
    else
        next = is_digit(quote) ? run_end(s, from, BARE) : from;
    return next > from && (next >= s.n || s.p[next] == ')' || s.p[next] == ']');
}

/* ('name', 'value') and, in a list of such, ["name", "value"]. What follows a name is a call. */
void scrub_tuple(struct scan *k)
{
    struct str s = k->s;
    size_t i = k->at++, from = prefix_end(s, i + 1), to;
    struct pair pair = {0};
    char before = char_at(s, i - 1);
    bool in_list = before == '[' || (before == ' ' && char_at(s, i - 2) == ',');
    if (k->looks & LOOK_LITERALS || !(in_list || (s.p[i] == '(' && !is(before, NAME))))
        return;
    while (pair.slashes < SLASHES_MAX && char_at(s, from + pair.slashes) == '\\')
        pair.slashes++;
    from += pair.slashes;
    pair.quote = char_at(s, from++);
    if (!is_quote(pair.quote))
        return;
    to = quoted_end(str_take(s, from + NAME_MAX_BYTES), from, pair.quote, pair.slashes, &pair.separator);
    pair.name = str_of(s.p + from, to - from);
    if (char_at(s, pair.separator) == ',' && names_secret(k, &pair) && closes(s, pair.separator))
        replace_value(k, &pair);
}

/* Words that follow an option's name where somebody writes about it. */
static bool is_prose(struct str word)
{
    static const struct str words[] = {STR("is"),      STR("are"),      STR("was"),       STR("to"),       STR("for"),    STR("from"),
                                       STR("or"),      STR("and"),      STR("in"),        STR("on"),       STR("with"),   STR("must"),
                                       STR("not"),     STR("has"),      STR("if"),        STR("when"),     STR("as"),     STR("can"),
                                       STR("cannot"),  STR("should"),   STR("will"),      STR("flag"),     STR("option"), STR("needs"),
                                       STR("instead"), STR("argument"), STR("parameter"), STR("requires"), STR("given"),  STR("missing")};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_eq(word, words[i]))
            return true;
    return false;
}

/* What stands for a value in a manual is none: --token TOKEN, --token <token>, --token [x]. */
static bool is_argument(struct str s, size_t i, struct str name)
{
    struct str word = str_of(s.p + i, run_end(s, i, BARE) - i);
    char first = char_at(s, i);
    return is_quote(first) || (word.n > 0 && !memchr("-[{(=:", first, 6) && !str_eq_nocase(word, name) && !is_prose(word));
}

/* --name value, and '--name', 'value' in a list, which may be in a string itself. */
bool scrub_option(struct scan *k)
{
    struct str s = k->s;
    size_t i = k->at, from = i + 2, to = from, slashes = 0, value;
    char before = char_at(s, i - 1);
    if (!(k->looks & LOOK_PAIRS) || k->looks & LOOK_LITERALS || char_at(s, i + 1) != '-' || is(before, NAME))
        return false;
    while (to < s.n && to - from < NAME_MAX_BYTES && (is(s.p[to], WORD) || s.p[to] == '-'))
        to++;
    struct pair pair = {.name = str_of(s.p + from, to - from), .separator = to};
    while (slashes < SLASHES_MAX && char_at(s, to + slashes) == '\\')
        slashes++;
    bool in_list = is_quote(before) && char_at(s, to + slashes) == before && char_at(s, to + slashes + 1) == ',';
    if (!(in_list || char_at(s, to) == ' ') || str_starts(pair.name, STR("no-")) || !is_meant(k, pair.name, WHERE_LOOSE))
        return false;
    pair.separator += in_list ? slashes + 1 : 0;
    value = pair.separator + 1;
    while (char_at(s, value) == ' ')
        value++;
    value = prefix_end(s, value);
    value += in_list && str_starts(str_drop(s, value), str_of(s.p + to, slashes)) ? slashes : 0;
    if (in_list ? !is_quote(char_at(s, value)) || char_at(s, value + 1) == '-' : !is_argument(s, value, pair.name))
        return false;
    replace_value(k, &pair);
    return k->s.n != s.n;
}

/* ---- pairs in a URL that is a parameter of another one: next=%2Flogin%3Ftoken%3Dvalue, state=%7B%22token%22%3A%22value%22%7D */

static size_t encoded_end(struct str s, size_t i, char quote)
{
    size_t next;
    for (; i < s.n; i = next) {
        char c = byte_at(s, i, &next);
        if (quote ? c == quote : !is(c, BARE))
            break;
    }
    return i;
}

/* True when the name before `end` means a secret. */
static bool encoded_name(const struct scan *k, size_t end, bool has_quotes)
{
    char space[NAME_MAX_BYTES];
    enum scrub_where where = k->looks & LOOK_COOKIES ? WHERE_COOKIE : WHERE_KEY;
    size_t start = end;
    while (start > 0 && end - start < NAME_MAX_BYTES && (is(k->s.p[start - 1], NAME) || k->s.p[start - 1] == '+'))
        start--;
    struct str name = str_trim(spelled(str_of(k->s.p + start, end - start), 0, space));
    if (has_quotes) {
        if (name.n == 0 || !is_quote(name.p[name.n - 1]))
            return false;
        name.n--;
    }
    struct str word = last_word(name);
    return is_meant(k, word, where) || (scrub_ends_own(name, k->rules) && !scrub_is_safe(word, k->rules));
}

/* With all that is behind the object in its parameter; of what a browser does not encode, quotes and round brackets end no value. */
static size_t encoded_object_end(struct str s, size_t i)
{
    while (i < s.n && (is(s.p[i], BARE) || ((s.p[i] == '\'' || s.p[i] == ')') && is(char_at(s, i + 1), BARE))))
        i++;
    return i;
}

void scrub_encoded(struct scan *k)
{
    struct str s = k->s;
    size_t i = k->at++, from, next;
    char separator = byte_at(s, i, &from);
    if (k->looks & LOOK_LITERALS || from == i + 1 || (separator != '=' && separator != ':') || !encoded_name(k, i, separator == ':'))
        return;
    while (from < s.n && (byte_at(s, from, &next) == ' ' || (separator == ':' && s.p[from] == '+')))
        from = next;
    char quote = 0;
    if (from < s.n && is_quote(byte_at(s, from, &next))) {
        quote = byte_at(s, from, &next);
        from = next;
    }
    bool bracket = !quote && from < s.n && memchr("{[", byte_at(s, from, &next), 2);
    size_t to = bracket ? encoded_object_end(s, from) : encoded_end(s, from, quote);
    if (!says_nothing(s, from, to))
        scrub_replace(k, from, to, SCRUB_FILTERED, SCRUB_NAME);
}

/* ---- parts of multipart forms: name="…" in a header, an empty line, the value, a line that begins with "--" */

static bool is_secret(const struct scan *k, struct str name)
{
    return scrub_is_sensitive(name, WHERE_KEY, k->rules) && !scrub_is_safe(name, k->rules);
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

void scrub_part(struct scan *k)
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
        scrub_replace(k, from, to, SCRUB_FILTERED, SCRUB_NAME);
}

/* <entry key="password">value</entry>, <property name="password" value="value"/>: true when the value was an attribute. */
static bool look_at_attribute(struct scan *k, const struct pair *pair)
{
    struct str s = k->s;
    size_t from = pair->separator + 1, next;
    if (k->tag == TAG_NAMED && str_eq_nocase(pair->name, STR("value"))) {
        replace_value(k, pair);
        return true;
    }
    if (k->tag != NO_TAG || (!str_eq_nocase(pair->name, STR("key")) && !str_eq_nocase(pair->name, STR("name"))))
        return false;
    size_t slashes = 0;
    while (slashes < SLASHES_MAX && char_at(s, from + slashes) == '\\')
        slashes++;
    from += slashes;
    char quote = char_at(s, from++);
    if (!is_quote(quote))
        return false;
    size_t to = quoted_end(str_take(s, from + NAME_MAX_BYTES), from, quote, slashes, &next);
    if (is_secret(k, str_of(s.p + from, to - from)))
        k->tag = TAG_NAMED;
    return false;
}

/* In PHP's ["name":protected]=> the value is elsewhere. Others leave a blank: Swift's ["name": "value"]. */
static bool is_visibility(struct str s, const struct pair *pair)
{
    size_t start = pair->name.n > 0 ? (size_t)(pair->name.p - s.p) : 0;
    return s.p[pair->separator] == ':' && pair->quote && char_at(s, start - 2) == '[' && char_at(s, pair->separator + 1) != ' ';
}

void scrub_separator(struct scan *k)
{
    struct pair pair;
    size_t i = k->at++;
    if (!(k->looks & LOOK_PAIRS) || !separates(k->s, i) || !read_name(k, i, &pair))
        return;
    if (is_visibility(k->s, &pair) || (k->in_tag && k->s.p[i] == '=' && look_at_attribute(k, &pair)))
        return;
    read_part(k, &pair);
    if (names_secret(k, &pair))
        replace_value(k, &pair);
}

/* ---- elements of XML: <name …>value</ */

/* In HTML such a name is that of a control, and what it holds is shown to everybody. */
static bool is_control(struct str element)
{
    static const struct str names[] = {STR("input"), STR("button"), STR("a"), STR("meta"), STR("select"), STR("form"), STR("iframe")};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq_nocase(element, names[i]))
            return true;
    return false;
}

void scrub_tag(struct scan *k)
{
    struct str s = k->s;
    size_t from = ++k->at, to = from, local = from;
    for (; to < s.n && to - from <= NAME_MAX_BYTES && (is(s.p[to], NAME) || s.p[to] == ':' || (uint8_t)s.p[to] >= 0x80); to++)
        local = s.p[to] == ':' ? to + 1 : local;
    char after = char_at(s, to);
    k->tag = NO_TAG;
    k->in_tag = to > from && !(k->looks & LOOK_LITERALS);
    k->in_control = k->in_tag && is_control(str_of(s.p + from, to - from));
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

void scrub_tag_end(struct scan *k)
{
    const struct str cdata = STR("<![CDATA["), cdata_end = STR("]]>");
    struct str s = k->s;
    size_t i = k->at++, from = i + 1, to = s.n;
    char before = char_at(s, i - 1);
    bool is_open = k->tag != NO_TAG && before != '/' && !(k->tag == TAG_NAMED && k->in_control);
    bool is_tag = k->tag == TAG_BARE || (k->tag == TAG && is_quote(before));
    k->tag = NO_TAG;
    k->in_tag = false;
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
        scrub_replace(k, from, to, SCRUB_FILTERED, SCRUB_NAME);
}
