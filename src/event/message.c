/* message.c: the log message of an event (protocol §5.10).
 *
 * Senders give a template with parameters, a finished text, or both, under `logentry` or `message`, as an object or a bare string. What is
 * written always has both `message` (the template, or the text where there is none) and `formatted` (the text, interpolated here when only
 * the template came). Interpolation knows printf's placeholders without their widths, {} {0} {name} and %(name)s; what it does not know
 * stays as it is. It is bounded in output and in the number of placeholders, because one parameter may be used many times: it ends when there is more
 * than is kept, so that the cut is seen and noted; the length in that note is of what there was by then. */
#include "blocks.h"

enum { MAX_CODE_POINTS = 8192, ENOUGH_BYTES = 4 * MAX_CODE_POINTS, MAX_PLACEHOLDERS = 256, MAX_NAME = 64 };

struct entry {
    struct str template, formatted;
    bool has_template, has_formatted;
    const struct json *from, *params;
};

/* ---- interpolation */

struct placeholder {
    size_t len;      /* bytes it takes in the template, 0: none here */
    struct str name; /* of the parameter; "" takes the next in line */
};

static bool is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

/* %s %5d %.2f %(name)s. A blank is no flag here: "100% sure" is plain text more often than a format. */
static struct placeholder percent(struct str s)
{
    struct placeholder p = {.name = STR("")};
    size_t i = 1;
    if (i < s.n && s.p[i] == '(') {
        size_t close = str_find(str_take(s, MAX_NAME), ')');
        if (close >= MAX_NAME || close == s.n)
            return p;
        p.name = str_of(s.p + 2, close - 2);
        i = close + 1;
    }
    while (i < s.n && is_one_of(s.p[i], "-+#.0123456789"))
        i++;
    if (i < s.n && is_one_of(s.p[i], "sdiufFeEgGxXorcaA"))
        p.len = i + 1;
    return p;
}

static struct placeholder braces(struct str s)
{
    struct placeholder p = {.name = STR("")};
    size_t close = str_find(str_take(s, MAX_NAME), '}');
    if (close >= MAX_NAME || close == s.n)
        return p;
    p.name = str_of(s.p + 1, close - 1);
    for (size_t i = 0; i < p.name.n; i++)
        if (!is_one_of(p.name.p[i], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"))
            return p;
    p.len = close + 1;
    return p;
}

static const struct json *param(const struct json *params, struct str name, struct json_iter *next)
{
    uint64_t index;
    if (name.n == 0)
        return json_type(params) == JSON_ARRAY && json_next(next) ? next->value : NULL;
    if (json_type(params) == JSON_ARRAY)
        return str_to_u64(name, &index) && index < json_count(params) ? json_at(params, index) : NULL;
    return json_get(params, name);
}

static void append_param(struct buf *out, const struct json *v, struct arena *a)
{
    struct str s = STR("null"); /* json_text leaves it alone for null */
    (void)json_text(v, a, &s);
    buf_append_str(out, str_take_code_points(s, MAX_CODE_POINTS + 1));
}

static struct str interpolate(struct str template, const struct json *params, struct arena *a)
{
    AUTO_BUF struct buf out = {0};
    struct json_iter next = json_iter(params);
    unsigned placeholders = 0;
    struct str rest = template;
    while (rest.n > 0 && out.n <= ENOUGH_BYTES) {
        struct placeholder p = {0};
        const struct json *v = NULL;
        if (str_starts(rest, STR("%%"))) {
            buf_append_char(&out, '%');
            rest = str_drop(rest, 2);
            continue;
        }
        if (is_one_of(rest.p[0], "%{") && placeholders < MAX_PLACEHOLDERS)
            p = rest.p[0] == '%' ? percent(rest) : braces(rest);
        if (p.len > 0) {
            placeholders++;
            v = param(params, p.name, &next);
        }
        if (v)
            append_param(&out, v, a);
        else
            buf_append_char(&out, rest.p[0]);
        rest = str_drop(rest, v ? p.len : 1);
    }
    return arena_str(a, buf_str(&out));
}

/* ---- the entry */

/* False when `v` holds no message at all. `false` is what some SDKs send for "none". */
static bool read_entry(const struct json *v, struct arena *a, struct entry *ret)
{
    struct entry e = {.from = v};
    bool is;
    if (json_type(v) == JSON_OBJECT) {
        e.has_template = json_text(json_get(v, STR("message")), a, &e.template);
        e.has_formatted = json_text(json_get(v, STR("formatted")), a, &e.formatted);
        e.params = json_get(v, STR("params"));
    } else if (!json_bool(v, &is) || is) {
        e.has_formatted = json_text(v, a, &e.formatted);
    }
    *ret = e;
    return e.has_template || e.has_formatted;
}

/* Notes that `v` of member `key` is not written, unless there is nothing in it. */
static void note_unused(struct block_writer *b, enum event_key key, const struct json *v, const char *reason)
{
    bool is;
    if (json_type(v) > JSON_NULL && (!json_bool(v, &is) || is) && (json_type(v) != JSON_OBJECT || json_count(v) > 0))
        block_invalid(b, event_key_name(key), v, reason);
}

/* The entry is `logentry`, or `message` where that has none. A message that is a text stays what it is beside an entry. */
static bool find_entry(struct block_writer *b, struct entry *ret)
{
    const struct json *entry = b->view->at[EVENT_KEY_LOGENTRY], *message = b->view->at[EVENT_KEY_MESSAGE];
    if (read_entry(entry, b->arena, ret)) {
        if (json_type(message) != JSON_STRING && json_type(message) != JSON_NUMBER)
            note_unused(b, EVENT_KEY_MESSAGE, message, "logentry has it already");
        return true;
    }
    note_unused(b, EVENT_KEY_LOGENTRY, entry, "expected a message");
    if (read_entry(message, b->arena, ret))
        return true;
    note_unused(b, EVENT_KEY_MESSAGE, message, "expected a message");
    return false;
}

static void note_other_members(struct block_writer *b, const struct json *entry)
{
    static const struct str known[] = {STR("message"), STR("formatted"), STR("params")};
    struct members m;
    members_of_object(entry, b->arena, &m);
    for (size_t i = 0; i < m.n; i++) {
        bool is_known = json_type(m.at[i].value) <= JSON_NULL;
        for (size_t k = 0; k < ARRAY_LEN(known); k++)
            is_known |= str_eq(known[k], m.at[i].key);
        if (!is_known)
            block_invalid(b, m.at[i].key, m.at[i].value, "expected message, formatted and params alone");
    }
}

void block_logentry(struct block_writer *b)
{
    struct entry e;
    if (!find_entry(b, &e))
        return;
    bool has_params = json_type(e.params) >= JSON_ARRAY;
    if (!e.has_formatted)
        e.formatted = has_params && json_count(e.params) > 0 ? interpolate(e.template, e.params, b->arena) : e.template;
    if (!e.has_template)
        e.template = e.formatted;
    json_key(b->json, event_key_name(EVENT_KEY_LOGENTRY));
    json_begin_object(b->json);
    notes_enter(&b->notes, event_key_name(EVENT_KEY_LOGENTRY));
    block_put_text(b, STR("message"), e.template, MAX_CODE_POINTS, 0);
    block_put_text(b, STR("formatted"), e.formatted, MAX_CODE_POINTS, 0);
    if (!has_params && json_type(e.params) > JSON_NULL)
        block_invalid(b, STR("params"), e.params, "expected a list or an object");
    note_other_members(b, e.from);
    notes_leave(&b->notes);
    if (has_params) {
        json_key(b->json, STR("params"));
        json_put_value(b->json, e.params); /* nulls are parameters too */
    }
    json_end_object(b->json);
}
