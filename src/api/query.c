/* query.c: see query.h.
 *
 *     query   = *(blank / term)
 *     term    = ["!"] (name ":" values / text)         names: the table below; tag.KEY, user.id, …
 *     values  = value / "[" value *("," value) "]"     a list: one of them
 *     value   = text                                   * stands for any run of characters, \* \" \\ for the character itself
 *             / [">" / ">=" / "<" / "<="] point / point ".." point     of numbers and times
 *     text    = DQUOTE … DQUOTE / run without blanks
 *
 * One pass from left to right, one level deep: nothing recurses, and memory is a small multiple of the text. A day alone is the whole day: `>2026-01-01` begins
 * when it is over, `<=2026-01-01` ends then, too. What precedes a colon must be a field, unless it cannot be a name ("https://", "a/b:1"): a misspelled field
 * would otherwise be a search for text that finds nothing, and says nothing. */
#include "picket/api/query.h"

#include <stdarg.h>
#include <stdio.h>

#include "picket/base/clock.h"
#include "picket/base/error.h"
#include "picket/event/event.h"

enum { COUNT_DIGITS = 18, NAME_MAX_CHARS = 64, SHOWN_MAX = 40 };

enum kind { STATE, TEXT, NUMBER, TIME, HAS, USER, ASSIGNEE, SHORT_ID };

static const struct field {
    const char *name;
    enum kind kind;
    const char *is; /* the field in conditions */
    const char *key;
} fields[] = {
    {"is", STATE, NULL, NULL},
    {"level", TEXT, "level", NULL},
    {"platform", TEXT, "platform", NULL},
    {"release", TEXT, "tag", "release"},
    {"environment", TEXT, "tag", "environment"},
    {"type", TEXT, "type", NULL},
    {"value", TEXT, "value", NULL},
    {"title", TEXT, "title", NULL},
    {"culprit", TEXT, "culprit", NULL},
    {"transaction", TEXT, "culprit", NULL},
    {"first_seen", TIME, "first_seen", NULL},
    {"last_seen", TIME, "last_seen", NULL},
    {"times_seen", NUMBER, "times_seen", NULL},
    {"users_seen", NUMBER, "users_seen", NULL},
    {"has", HAS, NULL, NULL},
    {"assignee", ASSIGNEE, NULL, NULL},
    {"short_id", SHORT_ID, "short_id", NULL},
    {"user.id", USER, "user", "id"},
    {"user.email", USER, "user", "email"},
    {"user.username", USER, "user", "username"},
    {"user.ip", USER, "user", "ip_address"},
};
#define FIELD_NAMES \
    "is, level, platform, release, environment, type, value, title, culprit, first_seen, last_seen, times_seen, users_seen, has, " \
    "assignee, short_id, tag.KEY, user.id, user.email, user.username, user.ip"

/* As people who come from elsewhere write them. */
static const struct alias {
    const char *name, *field;
} aliases[] = {
    {"env", "environment"}, {"firstSeen", "first_seen"}, {"lastSeen", "last_seen"}, {"timesSeen", "times_seen"}, {"assigned", "assignee"},
    {"error.type", "type"}, {"error.value", "value"},    {"issue", "short_id"},     {"users", "users_seen"},     {"events", "times_seen"},
};

static const struct state {
    const char *name, *is;
} states[] = {{"open", "open"},     {"unresolved", "open"},   {"resolved", "resolved"},    {"muted", "muted"},
              {"ignored", "muted"}, {"assigned", "assigned"}, {"unassigned", "unassigned"}};

struct parser {
    struct str all;
    size_t at;
    int64_t now_us;
    struct arena *arena;
    struct query *query;
    struct str *why;
    unsigned group;
    bool is_negated;
};

struct value {
    size_t at;          /* where it stands */
    struct str text;    /* without quotes and escapes */
    struct str pattern; /* the same for ILIKE */
    bool is_quoted, is_wild;
};

/* ---- refusals */

static int refuse(const struct parser *p, size_t at, const char *fmt, ...) PRINTF_LIKE(3, 4);

static int refuse(const struct parser *p, size_t at, const char *fmt, ...)
{
    char text[1024];
    unsigned column = 1;
    for (size_t i = 0; i < at && i < p->all.n; i++)
        column += ((unsigned char)p->all.p[i] & 0xc0) != 0x80;
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    size_t used = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    *p->why = arena_printf(p->arena, "q, column %u: %.*s", column, (int)used, text);
    return -ERR_INVALID;
}

static struct str shown(struct str s)
{
    return str_take_code_points(s, SHOWN_MAX);
}

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

static char lower(char c)
{
    if (c >= 'A' && c <= 'Z')
        c = (char)(c + ('a' - 'A'));
    return c;
}

/* How many letters must be put in, left out or changed to make one the other; both are at most NAME_MAX_CHARS long. */
static size_t distance(struct str a, struct str b)
{
    size_t row[NAME_MAX_CHARS + 1];
    for (size_t j = 0; j <= b.n; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t above = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            size_t left_above = above;
            above = row[j];
            row[j] = min3(above + 1, row[j - 1] + 1, left_above + (lower(a.p[i - 1]) != lower(b.p[j - 1])));
        }
    }
    return row[b.n];
}

static int no_field(const struct parser *p, size_t at, struct str name)
{
    enum { NEAR = 2 };
    const char *nearest = NULL;
    size_t least = NEAR + 1;
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        size_t d = distance(name, str_from(fields[i].name));
        if (d < least && d < name.n) {
            least = d;
            nearest = fields[i].name;
        }
    }
    if (nearest)
        return refuse(p, at, "there is no field %.*s; did you mean %s? Text with a colon is put in quotes", STR_ARG(shown(name)), nearest);
    return refuse(p, at,
                  "there is no field %.*s; fields are " FIELD_NAMES ". Other tags are tag.KEY, and text with a colon is put in quotes",
                  STR_ARG(shown(name)));
}

/* ---- conditions */

static int add(struct parser *p, size_t at, struct query_condition c)
{
    if (p->query->n == QUERY_MAX_CONDITIONS)
        return refuse(p, at, "a query has at most %d terms", QUERY_MAX_CONDITIONS);
    c.group = p->group;
    c.is_negated = p->is_negated;
    p->query->conditions[p->query->n++] = c;
    return 0;
}

/* One that is no alternative to the one before: both must hold, or, negated, not both. */
static int add_both(struct parser *p, size_t at, struct query_condition first, struct query_condition second)
{
    if (!p->is_negated) {
        int r = add(p, at, first);
        p->group++;
        return r < 0 ? r : add(p, at, second);
    }
    p->is_negated = false; /* not both: one of their opposites */
    first.op = first.op == QUERY_GE ? QUERY_LT : QUERY_LE;
    second.op = second.op == QUERY_LE ? QUERY_GT : QUERY_GE;
    int r = add(p, at, first);
    return r < 0 ? r : add(p, at, second);
}

/* ---- text */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool ends_value(const struct parser *p, bool in_list)
{
    if (p->at == p->all.n || is_blank(p->all.p[p->at]))
        return true;
    return in_list && (p->all.p[p->at] == ',' || p->all.p[p->at] == ']');
}

struct writer {
    char *text, *pattern;
    size_t n, pattern_n;
    bool is_wild;
};

static void put(struct writer *w, char c, bool is_wild)
{
    w->text[w->n++] = c;
    if (is_wild) {
        w->is_wild = true;
        w->pattern[w->pattern_n++] = '%';
        return;
    }
    if (c == '%' || c == '_' || c == '\\')
        w->pattern[w->pattern_n++] = '\\';
    w->pattern[w->pattern_n++] = c;
}

/* From here to the end of the value; an empty one has no text. */
static int read_value(struct parser *p, bool in_list, struct value *ret)
{
    size_t left = p->all.n - p->at, start = p->at;
    struct writer w = {.text = arena_alloc(p->arena, left + 1), .pattern = arena_alloc(p->arena, 2 * left + 1)};
    bool is_quoted = !ends_value(p, in_list) && p->all.p[p->at] == '"';
    p->at += is_quoted;
    while (is_quoted ? p->at < p->all.n && p->all.p[p->at] != '"' : !ends_value(p, in_list)) {
        char c = p->all.p[p->at++];
        bool is_wild = c == '*', is_escape = c == '\\' && p->at < p->all.n && str_find(STR("*\"\\"), p->all.p[p->at]) < 3;
        if (is_escape)
            c = p->all.p[p->at++];
        put(&w, c, is_wild);
    }
    if (is_quoted && p->at == p->all.n)
        return refuse(p, start, "a quote is opened here and not closed");
    p->at += is_quoted;
    if (is_quoted && !ends_value(p, in_list))
        return refuse(p, p->at, "behind a closing quote comes a blank; a quote within text is written \\\"");
    *ret = (struct value){start, str_of(w.text, w.n), str_of(w.pattern, w.pattern_n), is_quoted, w.is_wild};
    return 0;
}

/* ---- numbers and times */

static bool read_count(struct str s, int64_t *ret)
{
    return s.n <= COUNT_DIGITS && str_to_i64(s, ret) && *ret >= 0;
}

/* -24h and its like: before now. */
static bool read_ago(const struct parser *p, struct str s, int64_t *ret)
{
    static const struct {
        char name;
        int64_t us;
    } units[] = {
        {'s', CLOCK_US_PER_S}, {'m', 60 * CLOCK_US_PER_S}, {'h', CLOCK_US_PER_HOUR}, {'d', CLOCK_US_PER_DAY}, {'w', 7 * CLOCK_US_PER_DAY}};
    enum { AGO_DIGITS = 6 };
    int64_t n;
    if (s.n < 3 || s.n > AGO_DIGITS + 2 || s.p[0] != '-' || !read_count(str_of(s.p + 1, s.n - 2), &n))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (s.p[s.n - 1] != units[i].name)
            continue;
        *ret = n > (p->now_us - CLOCK_MIN_US) / units[i].us ? CLOCK_MIN_US : p->now_us - n * units[i].us;
        return true;
    }
    return false;
}

struct point {
    int64_t from, to; /* to: exclusive, of a day; else the same */
    bool is_ago;
};

static bool read_day(struct str s, struct point *ret)
{
    enum { DAY_CHARS = sizeof "2026-01-01" - 1, MIDNIGHT_CHARS = sizeof "T00:00:00Z" };
    char text[DAY_CHARS + MIDNIGHT_CHARS];
    if (s.n != DAY_CHARS)
        return false;
    (void)snprintf(text, sizeof text, "%.*sT00:00:00Z", STR_ARG(s)); /* fits */
    if (!clock_parse(str_from(text), &ret->from))
        return false;
    ret->to = ret->from > CLOCK_MAX_US - CLOCK_US_PER_DAY ? CLOCK_MAX_US : ret->from + CLOCK_US_PER_DAY;
    return true;
}

static bool read_point(const struct parser *p, enum kind kind, struct str s, struct point *ret)
{
    *ret = (struct point){0};
    if (kind == TIME && read_day(s, ret))
        return true;
    ret->is_ago = kind == TIME && read_ago(p, s, &ret->from);
    bool is_one = kind == NUMBER ? read_count(s, &ret->from) : ret->is_ago || clock_parse(s, &ret->from);
    ret->to = ret->from;
    return is_one;
}

static struct query_condition compare(const struct field *f, enum query_op op, int64_t with)
{
    struct query_condition c = {.field = str_from(f->is), .op = op};
    *(f->kind == NUMBER ? &c.number : &c.time_us) = with;
    return c;
}

static int no_point(const struct parser *p, const struct field *f, const struct value *v)
{
    if (f->kind == NUMBER)
        return refuse(p, v->at, "%s is compared with a whole number: %s:10, >10, >=10, <10, <=10 or 10..20", f->name, f->name);
    return refuse(p, v->at,
                  "%s is compared with a time: %s:2026-01-01, >2026-01-01T12:00:00Z, -24h (units s, m, h, d, w), or 2026-01-01..2026-01-31",
                  f->name, f->name);
}

static int add_range(struct parser *p, const struct field *f, const struct value *v, size_t dots)
{
    struct point low, high;
    if (!read_point(p, f->kind, str_take(v->text, dots), &low) || !read_point(p, f->kind, str_drop(v->text, dots + 2), &high))
        return no_point(p, f, v);
    return add_both(p, v->at, compare(f, QUERY_GE, low.from), compare(f, high.to > high.from ? QUERY_LT : QUERY_LE, high.to));
}

static size_t find_dots(struct str s)
{
    for (size_t i = 0; i + 1 < s.n; i++)
        if (s.p[i] == '.' && s.p[i + 1] == '.')
            return i;
    return s.n;
}

static enum query_op cut_op(struct str *s)
{
    static const struct {
        const char *text;
        enum query_op op;
    } ops[] = {{">=", QUERY_GE}, {"<=", QUERY_LE}, {">", QUERY_GT}, {"<", QUERY_LT}, {"=", QUERY_EQ}};
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        if (str_starts(*s, str_from(ops[i].text))) {
            *s = str_drop(*s, strlen(ops[i].text));
            return ops[i].op;
        }
    }
    return QUERY_EQ;
}

static int add_compared(struct parser *p, const struct field *f, const struct value *v)
{
    size_t dots = find_dots(v->text);
    if (dots < v->text.n)
        return add_range(p, f, v, dots);
    struct str rest = v->text;
    enum query_op op = cut_op(&rest);
    struct point at;
    if (!read_point(p, f->kind, rest, &at))
        return no_point(p, f, v);
    bool is_day = at.to > at.from;
    if (op == QUERY_EQ && is_day)
        return add_both(p, v->at, compare(f, QUERY_GE, at.from), compare(f, QUERY_LT, at.to));
    if (at.is_ago && rest.n == v->text.n) /* -24h alone: since then */
        return add(p, v->at, compare(f, QUERY_GE, at.from));
    if (is_day && (op == QUERY_GT || op == QUERY_LE))
        return add(p, v->at, compare(f, op == QUERY_GT ? QUERY_GE : QUERY_LT, at.to));
    return add(p, v->at, compare(f, op, at.from));
}

/* ---- the other fields */

static int add_state(struct parser *p, const struct value *v)
{
    for (size_t i = 0; i < ARRAY_LEN(states); i++)
        if (str_eq_nocase(v->text, str_from(states[i].name)))
            return add(p, v->at, (struct query_condition){.field = str_from(states[i].is)});
    return refuse(p, v->at, "is: takes open, unresolved (the same), resolved, muted, assigned or unassigned");
}

static int add_assignee(struct parser *p, const struct value *v)
{
    if (!v->is_quoted && str_eq_nocase(v->text, STR("none")))
        return add(p, v->at, (struct query_condition){.field = STR("unassigned")});
    bool is_me = !v->is_quoted && str_eq_nocase(v->text, STR("me"));
    return add(p, v->at, (struct query_condition){.field = is_me ? STR("assigned_to_me") : STR("assignee"), .text = v->pattern});
}

static int add_short_id(struct parser *p, const struct value *v)
{
    size_t dash = v->text.n;
    while (dash > 0 && v->text.p[dash - 1] != '-')
        dash--;
    struct query_condition c = {.field = STR("short_id"), .text = str_take(v->text, dash ? dash - 1 : 0)};
    if (c.text.n == 0 || !read_count(str_drop(v->text, dash), &c.number) || c.number > INT32_MAX)
        return refuse(p, v->at, "a short id is a project's slug and a number: short_id:MY-APP-12");
    return add(p, v->at, c);
}

static int add_has(struct parser *p, const struct value *v)
{
    static const char *const columns[] = {"level", "platform", "type", "value", "culprit"};
    struct str name = v->text, tag = STR("tag.");
    if (str_eq_nocase(name, STR("transaction")))
        name = STR("culprit");
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        if (str_eq_nocase(name, str_from(columns[i])))
            return add(p, v->at, (struct query_condition){.field = STR("has_text"), .key = str_from(columns[i])});
    if (str_eq_nocase(name, STR("assignee")))
        return add(p, v->at, (struct query_condition){.field = STR("assigned")});
    if (str_eq_nocase(name, STR("user")))
        return add(p, v->at, (struct query_condition){.field = STR("users_seen"), .op = QUERY_GT});
    if (str_starts(name, tag))
        name = str_drop(name, tag.n);
    if (name.n == 0)
        return refuse(p, v->at,
                      "has: takes level, platform, type, value, culprit, assignee, user, release, environment or the key of a tag");
    return add(p, v->at, (struct query_condition){.field = STR("has_tag"), .key = name});
}

/* A tag is as it was sent, unless there is a * in it: that is found by an index. */
static int add_text(struct parser *p, const struct field *f, struct str key, const struct value *v)
{
    struct query_condition c = {.field = str_from(f->is), .key = key, .text = v->pattern};
    if (key.n && !v->is_wild) {
        c.field = STR("tag_is");
        c.text = v->text;
    }
    return add(p, v->at, c);
}

/* Users are known by a hash of what names them first (event_user_hash). */
static int add_user(struct parser *p, const struct field *f, const struct value *v)
{
    struct str named = str_trim(v->text);
    if (v->is_wild || named.n == 0)
        return refuse(p, v->at, "%s is compared as a whole, without *", f->name);
    return add(p, v->at, (struct query_condition){.field = str_from(f->is), .number = (int64_t)event_user_hash(str_from(f->key), named)});
}

static int add_value(struct parser *p, const struct field *f, struct str key, const struct value *v)
{
    if (v->text.n == 0 && !v->is_quoted)
        return refuse(p, v->at, "a value is missing here; the empty one is written \"\"");
    switch (f->kind) {
    case STATE:
        return add_state(p, v);
    case TEXT:
        return add_text(p, f, key, v);
    case NUMBER:
    case TIME:
        return add_compared(p, f, v);
    case HAS:
        return add_has(p, v);
    case USER:
        return add_user(p, f, v);
    case ASSIGNEE:
        return add_assignee(p, v);
    case SHORT_ID:
        return add_short_id(p, v);
    }
    return -ERR_INVALID; /* not reached */
}

/* ---- terms */

static void skip_blanks(struct parser *p)
{
    while (p->at < p->all.n && is_blank(p->all.p[p->at]))
        p->at++;
}

/* [a, b]. A range within would be two conditions that are no alternatives. */
static int read_list(struct parser *p, const struct field *f, struct str key)
{
    size_t start = p->at++;
    for (;;) {
        struct value v = {0};
        skip_blanks(p);
        int r = read_value(p, true, &v);
        if (r < 0)
            return r;
        if (f->kind == NUMBER || f->kind == TIME)
            return refuse(p, v.at, "%s takes no list; 10..20 is a range", f->name);
        if ((r = add_value(p, f, key, &v)) < 0)
            return r;
        skip_blanks(p);
        if (p->at == p->all.n)
            return refuse(p, start, "a list is opened here and not closed by ]");
        char c = p->all.p[p->at];
        if (c != ',' && c != ']')
            return refuse(p, p->at, "between values of a list comes a comma; what has blanks is put in quotes");
        p->at++;
        if (c == ']')
            break;
    }
    return p->at < p->all.n && !is_blank(p->all.p[p->at]) ? refuse(p, p->at, "behind a list comes a blank") : 0;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* The name before a colon, empty when there is none that could be one. Of tag.KEY the key may be anything but blanks, quotes and colons. */
static struct str look_name(const struct parser *p)
{
    struct str rest = str_drop(p->all, p->at);
    bool is_tag = str_starts(rest, STR("tag."));
    size_t n = 0;
    while (n < rest.n &&
           (is_letter(rest.p[n]) || (n > 0 && ((rest.p[n] >= '0' && rest.p[n] <= '9') || rest.p[n] == '.' || rest.p[n] == '-')) ||
            (is_tag && !is_blank(rest.p[n]) && rest.p[n] != ':' && rest.p[n] != '"')))
        n++;
    bool is_url = n + 2 < rest.n && rest.p[n] == ':' && rest.p[n + 1] == '/' && rest.p[n + 2] == '/';
    return n < rest.n && rest.p[n] == ':' && !is_url ? str_take(rest, n) : STR("");
}

static const struct field *find_field(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(aliases); i++)
        if (str_eq_nocase(name, str_from(aliases[i].name)))
            name = str_from(aliases[i].field);
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (str_eq_nocase(name, str_from(fields[i].name)))
            return &fields[i];
    return NULL;
}

static int read_field(struct parser *p, struct str name)
{
    static const struct field any_tag = {"tag.KEY", TEXT, "tag", NULL};
    struct str key = STR(""), tag = STR("tag.");
    size_t start = p->at;
    const struct field *f = NULL;
    if (str_starts(name, tag) && name.n > tag.n) {
        f = &any_tag;
        key = arena_str(p->arena, str_drop(name, tag.n));
    } else if (name.n <= NAME_MAX_CHARS) {
        f = find_field(name);
    }
    if (!f && name.n > NAME_MAX_CHARS)
        return refuse(p, start, "there is no field %.*s; fields are " FIELD_NAMES, STR_ARG(shown(name)));
    if (!f)
        return no_field(p, start, name);
    if (f->key)
        key = str_from(f->key);
    p->at += name.n + 1;
    if (p->at < p->all.n && p->all.p[p->at] == '[')
        return read_list(p, f, key);
    struct value v = {0};
    int r = read_value(p, false, &v);
    return r < 0 ? r : add_value(p, f, key, &v);
}

/* Text stands anywhere in title, value or culprit. */
static int read_text(struct parser *p)
{
    struct value v = {0};
    int r = read_value(p, false, &v);
    if (r < 0)
        return r;
    if (v.text.n == 0 && !v.is_quoted)
        return refuse(p, v.at, "a term is missing behind !");
    return add(p, v.at, (struct query_condition){.field = STR("text"), .text = arena_printf(p->arena, "%%%.*s%%", STR_ARG(v.pattern))});
}

static int read_term(struct parser *p)
{
    p->is_negated = p->all.p[p->at] == '!';
    p->at += p->is_negated;
    struct str name = look_name(p);
    int r = name.n ? read_field(p, name) : read_text(p);
    p->group++;
    return r;
}

int query_parse(struct str text, int64_t now_us, struct arena *a, struct query *ret, struct str *ret_why)
{
    struct parser p = {.all = text, .now_us = now_us, .arena = a, .query = ret, .why = ret_why};
    ret->n = 0;
    if (text.n > QUERY_MAX_BYTES) {
        *ret_why = arena_printf(a, "q has at most %d bytes", QUERY_MAX_BYTES);
        return -ERR_INVALID;
    }
    if (!str_is_utf8(text) || str_find(text, '\0') < text.n) {
        *ret_why = STR("q must be UTF-8 without U+0000");
        return -ERR_INVALID;
    }
    for (skip_blanks(&p); p.at < text.n; skip_blanks(&p)) {
        int r = read_term(&p);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- more of them */

static struct query_condition *more(struct query *query)
{
    if (query->n == QUERY_MAX_CONDITIONS)
        return NULL;
    struct query_condition *c = &query->conditions[query->n];
    *c = (struct query_condition){.group = query->n ? query->conditions[query->n - 1].group + 1 : 0};
    query->n++;
    return c;
}

int query_add_tag(struct query *query, struct str key, struct str value, struct str *ret_why)
{
    bool is_text = str_is_utf8(value) && str_find(value, '\0') == value.n && value.n <= QUERY_MAX_BYTES;
    struct query_condition *c = is_text ? more(query) : NULL;
    if (!c) {
        *ret_why = is_text ? STR("a query has too many terms")
                           : STR("release and environment must be UTF-8 without U+0000, of at most 4096 bytes");
        return -ERR_INVALID;
    }
    c->field = STR("tag_is");
    c->key = key;
    c->text = value;
    return 0;
}

int query_add_any(struct query *query, const struct str *names, unsigned n, int64_t number)
{
    unsigned group = query->n ? query->conditions[query->n - 1].group + 1 : 0;
    for (unsigned i = 0; i < n; i++) {
        struct query_condition *c = more(query);
        if (!c)
            return -ERR_INVALID;
        c->field = names[i];
        c->group = group;
        c->number = number;
    }
    return 0;
}

bool query_tells_state(const struct query *query)
{
    for (unsigned i = 0; i < query->n; i++) {
        struct str field = query->conditions[i].field;
        if (str_eq(field, STR("open")) || str_eq(field, STR("resolved")) || str_eq(field, STR("muted")))
            return true;
    }
    return false;
}
