/* markdown.c: an event as a page of Markdown, for a ticket or a language model: what happened, the stack with the lines of source that came along, tags,
 * the last breadcrumbs.
 *
 * It is made of the normalised copy, so shapes are known, and whatever has another is left out. What was sent is code and never markup, nor a link or a
 * mention of somebody: it stands between more backticks than there are in it, and where it is part of a line its line breaks are blanks. The page is
 * bounded by numbers of frames, lines and crumbs and by the length of each text, not only by the event. */
#include "picket/event/event.h"

#include "picket/base/clock.h"
#include "picket/base/error.h"

enum { /* texts in code points */
       TEXT_MAX = 2000,
       CODE_MAX = 400,
       EXCEPTIONS_MAX = 10,
       FRAMES_MAX = 50,
       CONTEXT_LINES = 3,
       TAGS_MAX = 100,
       CRUMBS_MAX = 30,
       VALUE_MAX = 200
};

struct page {
    struct buf *out;
    struct arena *arena;
};

/* ---- text */

static bool text_of(struct page *p, const struct json *v, struct str *ret)
{
    enum json_type type = json_type(v);
    return type != JSON_NONE && type != JSON_NULL && json_text(v, p->arena, ret) && ret->n > 0;
}

static bool member(struct page *p, const struct json *object, const char *name, struct str *ret)
{
    return text_of(p, json_get(object, str_from(name)), ret);
}

/* In a line. */
static void put_char(struct buf *out, char c)
{
    if ((uint8_t)c < ' ')
        c = ' ';
    buf_append_char(out, c);
}

static size_t longest_run(struct str s, char c)
{
    size_t longest = 0, run = 0;
    for (size_t i = 0; i < s.n; i++) {
        run = s.p[i] == c ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    return longest;
}

/* Of one line; longer than `max`: its beginning. `cell`: of a table. */
static void put_span(struct buf *out, struct str s, size_t max, bool cell)
{
    struct str cut = str_take_code_points(s, max);
    size_t fence = longest_run(cut, '`') + 1;
    if (cut.n == 0)
        return;
    bool is_apart = *cut.p == '`' || cut.p[cut.n - 1] == '`' || *cut.p == ' ';
    for (size_t i = 0; i < fence; i++)
        buf_append_char(out, '`');
    if (is_apart)
        buf_append_char(out, ' ');
    for (size_t i = 0; i < cut.n; i++) {
        if (cell && cut.p[i] == '|')
            buf_append_char(out, '\\');
        put_char(out, cut.p[i]);
    }
    if (cut.n < s.n)
        buf_append_str(out, STR(" …"));
    if (is_apart)
        buf_append_char(out, ' ');
    for (size_t i = 0; i < fence; i++)
        buf_append_char(out, '`');
}

static void put_fenced(struct buf *out, struct str code)
{
    size_t fence = longest_run(code, '`') + 1;
    fence = fence < 3 ? 3 : fence;
    for (size_t i = 0; i < fence; i++)
        buf_append_char(out, '`');
    buf_append_char(out, '\n');
    buf_append_str(out, code);
    if (code.n == 0 || code.p[code.n - 1] != '\n')
        buf_append_char(out, '\n');
    for (size_t i = 0; i < fence; i++)
        buf_append_char(out, '`');
    buf_append_str(out, STR("\n\n"));
}

/* Of code; what would end the line is a blank. */
static void put_code(struct buf *out, struct str s)
{
    struct str cut = str_take_code_points(s, CODE_MAX);
    for (size_t i = 0; i < cut.n; i++)
        put_char(out, cut.p[i]);
    if (cut.n < s.n)
        buf_append_str(out, STR(" …"));
    buf_append_char(out, '\n');
}

/* ---- the head */

static void put_fact(struct page *p, const char *name, struct str value)
{
    buf_printf(p->out, "- **%s:** ", name);
    put_span(p->out, value, TEXT_MAX, false);
    buf_append_char(p->out, '\n');
}

static void put_time(struct page *p, const struct json *data)
{
    char text[CLOCK_RFC3339_MAX];
    double seconds;
    if (!json_f64(json_get(data, STR("timestamp")), &seconds) || seconds < 0 || seconds > 253402300799.0)
        return;
    (void)clock_format((int64_t)(seconds * 1e6), text);
    put_fact(p, "Time", str_from(text));
}

static void put_user(struct page *p, const struct json *user)
{
    static const char *const names[] = {"id", "username", "email", "ip_address"};
    AUTO_BUF struct buf all = {0};
    struct str value;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (member(p, user, names[i], &value))
            buf_printf(&all, "%s%s %.*s", all.n ? ", " : "", names[i], STR_ARG(str_take_code_points(value, VALUE_MAX)));
    if (all.n)
        put_fact(p, "User", buf_str(&all));
}

static void put_request(struct page *p, const struct json *request)
{
    struct str method, url;
    if (!member(p, request, "url", &url))
        return;
    if (!member(p, request, "method", &method))
        method = STR("GET");
    put_fact(p, "Request",
             arena_printf(p->arena, "%.*s %.*s", STR_ARG(str_take_code_points(method, 20)), STR_ARG(str_take_code_points(url, TEXT_MAX))));
}

static void put_context(struct page *p, const char *title, const struct json *context)
{
    struct str name, version;
    if (!member(p, context, "name", &name))
        return;
    bool has_version = member(p, context, "version", &version);
    put_fact(p, title,
             has_version ? arena_printf(p->arena, "%.*s %.*s", STR_ARG(str_take_code_points(name, VALUE_MAX)),
                                        STR_ARG(str_take_code_points(version, VALUE_MAX)))
                         : name);
}

static void put_head(struct page *p, struct str title, const struct json *data)
{
    static const struct {
        const char *title, *name;
    } facts[] = {{"Level", "level"},
                 {"Platform", "platform"},
                 {"Release", "release"},
                 {"Environment", "environment"},
                 {"Transaction", "transaction"},
                 {"Server", "server_name"},
                 {"Logger", "logger"},
                 {"Event", "event_id"}};
    static const struct {
        const char *title, *name;
    } contexts[] = {{"Runtime", "runtime"}, {"Operating system", "os"}, {"Browser", "browser"}, {"Device", "device"}, {"App", "app"}};
    struct str value;
    buf_append_str(p->out, STR("# "));
    put_span(p->out, title, TEXT_MAX, false);
    buf_append_str(p->out, STR("\n\n"));
    put_time(p, data);
    for (size_t i = 0; i < ARRAY_LEN(facts); i++)
        if (member(p, data, facts[i].name, &value))
            put_fact(p, facts[i].title, value);
    for (size_t i = 0; i < ARRAY_LEN(contexts); i++)
        put_context(p, contexts[i].title, json_get(json_get(data, STR("contexts")), str_from(contexts[i].name)));
    put_request(p, json_get(data, STR("request")));
    put_user(p, json_get(data, STR("user")));
    buf_append_char(p->out, '\n');
}

/* ---- stacks */

static void put_source(struct page *p, const struct json *frame, struct buf *code)
{
    const struct json *before = json_get(frame, STR("pre_context")), *after = json_get(frame, STR("post_context"));
    struct str line;
    size_t n = json_count(before), first = n > CONTEXT_LINES ? n - CONTEXT_LINES : 0, at = 0;
    if (!member(p, frame, "context_line", &line))
        return;
    for (struct json_iter it = json_iter(before); json_next(&it); at++) {
        struct str text = STR("");
        (void)text_of(p, it.value, &text);
        if (at >= first) {
            buf_append_str(code, STR("        "));
            put_code(code, text);
        }
    }
    buf_append_str(code, STR("      > "));
    put_code(code, line);
    at = 0;
    for (struct json_iter it = json_iter(after); at < CONTEXT_LINES && json_next(&it); at++) {
        struct str text = STR("");
        (void)text_of(p, it.value, &text);
        buf_append_str(code, STR("        "));
        put_code(code, text);
    }
}

static void put_frame(struct page *p, const struct json *frame, struct buf *code)
{
    AUTO_BUF struct buf line = {0};
    struct str file, function;
    int64_t number;
    bool in_app = false;
    if (member(p, frame, "filename", &file) || member(p, frame, "abs_path", &file) || member(p, frame, "module", &file) ||
        member(p, frame, "package", &file))
        buf_append_str(&line, str_take_code_points(file, CODE_MAX));
    else
        buf_append_str(&line, STR("?"));
    if (json_i64(json_get(frame, STR("lineno")), &number))
        buf_printf(&line, ":%lld", (long long)number);
    if (member(p, frame, "function", &function) || member(p, frame, "instruction_addr", &function)) {
        buf_append_str(&line, STR(" in "));
        buf_append_str(&line, str_take_code_points(function, CODE_MAX));
    }
    if (json_bool(json_get(frame, STR("in_app")), &in_app) && in_app)
        buf_append_str(&line, STR(" (in app)"));
    put_code(code, buf_str(&line));
    put_source(p, frame, code);
}

/* The newest call first; of a long stack both ends. */
static void put_stack(struct page *p, const struct json *stack)
{
    const struct json *frames = json_get(stack, STR("frames"));
    AUTO_BUF struct buf code = {0};
    size_t n = json_count(frames), i = 0;
    if (json_type(frames) != JSON_ARRAY || n == 0)
        return;
    const struct json **all = arena_array(p->arena, const struct json *, n);
    for (struct json_iter it = json_iter(frames); json_next(&it);)
        all[i++] = it.value;
    for (i = 0; i < n; i++) {
        bool is_middle = n > FRAMES_MAX && i >= FRAMES_MAX - 10 && i < n - 10;
        if (!is_middle)
            put_frame(p, all[n - 1 - i], &code);
        else if (i == FRAMES_MAX - 10)
            buf_printf(&code, "… %zu more\n", n - FRAMES_MAX);
    }
    put_fenced(p->out, buf_str(&code));
}

static void put_exception(struct page *p, const struct json *exception)
{
    struct str type = STR(""), value = STR("");
    (void)member(p, exception, "type", &type);
    (void)member(p, exception, "value", &value);
    buf_append_str(p->out, STR("### "));
    put_span(p->out, type.n ? type : STR("Error"), VALUE_MAX, false);
    buf_append_str(p->out, STR("\n\n"));
    if (value.n) {
        AUTO_BUF struct buf text = {0};
        buf_append_str(&text, str_take_code_points(value, TEXT_MAX));
        put_fenced(p->out, buf_str(&text));
    }
    put_stack(p, json_get(exception, STR("stacktrace")));
}

/* The last of a chain is the one that was seen. */
static void put_exceptions(struct page *p, const struct json *data)
{
    const struct json *values = json_get(json_get(data, STR("exception")), STR("values"));
    size_t n = json_count(values);
    if (json_type(values) != JSON_ARRAY || n == 0)
        return;
    buf_append_str(p->out, n > 1 ? STR("## Exceptions, the last one first\n\n") : STR("## Exception\n\n"));
    for (size_t i = 0; i < n && i < EXCEPTIONS_MAX; i++)
        put_exception(p, json_at(values, n - 1 - i));
}

/* Of an event without an exception: the thread that it was sent from. */
static void put_threads(struct page *p, const struct json *data)
{
    const struct json *values = json_get(json_get(data, STR("threads")), STR("values")), *chosen = NULL;
    if (json_count(json_get(json_get(data, STR("exception")), STR("values"))) > 0)
        return;
    for (struct json_iter it = json_iter(values); json_next(&it);) {
        bool crashed = false, current = false;
        (void)json_bool(json_get(it.value, STR("crashed")), &crashed);
        (void)json_bool(json_get(it.value, STR("current")), &current);
        if (!chosen || crashed || current)
            chosen = it.value;
    }
    const struct json *stack = json_get(chosen ? chosen : data, STR("stacktrace"));
    if (json_count(json_get(stack, STR("frames"))) > 0) {
        buf_append_str(p->out, STR("## Stack\n\n"));
        put_stack(p, stack);
    }
}

/* ---- the rest */

static void put_message(struct page *p, const struct json *data)
{
    const struct json *entry = json_get(data, STR("logentry"));
    struct str text;
    if (!member(p, entry, "formatted", &text) && !member(p, entry, "message", &text))
        return;
    buf_append_str(p->out, STR("## Message\n\n"));
    put_fenced(p->out, str_take_code_points(text, TEXT_MAX));
}

static void put_tags(struct page *p, const struct json *tags)
{
    size_t n = 0;
    if (json_type(tags) != JSON_OBJECT || json_count(tags) == 0)
        return;
    buf_append_str(p->out, STR("## Tags\n\n"));
    for (struct json_iter it = json_iter(tags); n < TAGS_MAX && json_next(&it); n++) {
        struct str key, value = STR("");
        if (!json_str(it.key, p->arena, &key))
            continue;
        (void)text_of(p, it.value, &value);
        buf_append_str(p->out, STR("- "));
        put_span(p->out, key, VALUE_MAX, false);
        buf_append_str(p->out, STR(": "));
        put_span(p->out, value, VALUE_MAX, false);
        buf_append_char(p->out, '\n');
    }
    buf_append_char(p->out, '\n');
}

static void put_crumb(struct page *p, const struct json *crumb)
{
    static const char *const names[] = {"level", "category", "type"};
    char time[CLOCK_RFC3339_MAX] = "";
    double seconds;
    struct str text = STR("");
    if (json_f64(json_get(crumb, STR("timestamp")), &seconds) && seconds >= 0 && seconds < 253402300799.0)
        (void)clock_format((int64_t)(seconds * 1e6), time);
    buf_printf(p->out, "| %s |", time);
    for (size_t i = 0; i < 2; i++) {
        bool is_there = member(p, crumb, names[i], &text) || (i == 1 && member(p, crumb, names[2], &text));
        buf_append_char(p->out, ' ');
        put_span(p->out, is_there ? text : STR(""), VALUE_MAX, true);
        buf_append_str(p->out, STR(" |"));
    }
    bool has_message = member(p, crumb, "message", &text) || member(p, json_get(crumb, STR("data")), "url", &text);
    buf_append_char(p->out, ' ');
    put_span(p->out, has_message ? text : STR(""), VALUE_MAX, true);
    buf_append_str(p->out, STR(" |\n"));
}

static void put_crumbs(struct page *p, const struct json *data)
{
    const struct json *crumbs = json_get(data, STR("breadcrumbs"));
    const struct json *values = json_type(crumbs) == JSON_ARRAY ? crumbs : json_get(crumbs, STR("values"));
    size_t n = json_count(values), at = 0, first = n > CRUMBS_MAX ? n - CRUMBS_MAX : 0;
    if (json_type(values) != JSON_ARRAY || n == 0)
        return;
    buf_printf(p->out, first ? "## The last %zu of %zu breadcrumbs\n\n" : "## Breadcrumbs\n\n", n - first, n);
    buf_append_str(p->out, STR("| Time | Level | Category | Message |\n|---|---|---|---|\n"));
    for (struct json_iter it = json_iter(values); json_next(&it); at++)
        if (at >= first)
            put_crumb(p, it.value);
    buf_append_char(p->out, '\n');
}

int event_markdown(struct str title, struct str data, struct buf *out)
{
    AUTO_JSON struct json_doc *doc = NULL;
    AUTO_ARENA struct arena arena = {0};
    int r = json_parse(data, &doc, NULL);
    if (r < 0)
        return r;
    const struct json *root = json_root(doc);
    if (json_type(root) != JSON_OBJECT)
        return -ERR_NOT_AN_OBJECT;
    struct page p = {.out = out, .arena = &arena};
    put_head(&p, title, root);
    put_message(&p, root);
    put_exceptions(&p, root);
    put_threads(&p, root);
    put_tags(&p, json_get(root, STR("tags")));
    put_crumbs(&p, root);
    return 0;
}
