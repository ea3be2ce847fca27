/* fuzz_event.c: whatever the payload, a page of it has no markup but its own, the columns are bounded well-formed UTF-8 without NUL, and the normalised copy is a JSON object that
 * dashboards accept (contract §7.6), with every key once, and that is left alone when it is normalised again. */
#include "fuzz.h"

#include "picket/base/clock.h"
#include "picket/base/error.h"
#include "picket/event/event.h"

static void check_text(struct str s, size_t max_code_points)
{
    assert(str_is_utf8(s) && str_find(s, '\0') == s.n);
    assert(str_take_code_points(s, max_code_points).n == s.n);
}

static void check_fields(const struct event_fields *f)
{
    check_text(f->type, EVENT_MAX_TYPE);
    check_text(f->value, EVENT_MAX_VALUE);
    check_text(f->title, EVENT_MAX_TYPE + 2 + EVENT_MAX_VALUE);
    check_text(f->transaction, EVENT_MAX_TRANSACTION);
    check_text(f->level, EVENT_MAX_LEVEL);
    check_text(f->platform, EVENT_MAX_PLATFORM);
    check_text(f->release, EVENT_MAX_RELEASE);
    check_text(f->environment, EVENT_MAX_ENVIRONMENT);
    check_text(f->server_name, EVENT_MAX_SERVER_NAME);
    check_text(f->sdk_name, EVENT_MAX_SDK);
    check_text(f->sdk_version, EVENT_MAX_SDK);
    check_text(f->frame_filename, EVENT_MAX_FRAME);
    check_text(f->frame_module, EVENT_MAX_FRAME);
    check_text(f->frame_function, EVENT_MAX_FRAME);
    assert(f->title.n > 0);
    assert(f->timestamp_us >= CLOCK_MIN_US && f->timestamp_us <= CLOCK_MAX_US);
}

/* Each member that is there has the type, and is not null. */
static void check_types(const struct json *object, const char *const *keys, size_t n, enum json_type type)
{
    assert(json_type(object) == JSON_OBJECT);
    for (size_t i = 0; i < n; i++) {
        const struct json *v = json_get(object, str_from(keys[i]));
        assert(!v || json_type(v) == type);
    }
}
#define CHECK_TYPES(object, type, ...) \
    check_types((object), (const char *const[]){__VA_ARGS__}, ARRAY_LEN(((const char *const[]){__VA_ARGS__})), (type))

static void check_all(const struct json *container, enum json_type type)
{
    for (struct json_iter it = json_iter(container); json_next(&it);)
        assert(json_type(it.value) == type);
}

static void check_frame(const struct json *frame)
{
    CHECK_TYPES(frame, JSON_STRING, "filename", "function", "context_line");
    CHECK_TYPES(frame, JSON_NUMBER, "lineno", "colno");
    CHECK_TYPES(frame, JSON_BOOL, "in_app");
    CHECK_TYPES(frame, JSON_ARRAY, "pre_context", "post_context");
    check_all(json_get(frame, STR("pre_context")), JSON_STRING);
    check_all(json_get(frame, STR("post_context")), JSON_STRING);
}

static void check_exceptions(const struct json *exception)
{
    const struct json *values = json_get(exception, STR("values"));
    if (!exception)
        return;
    assert(json_type(values) == JSON_ARRAY && json_count(values) > 0);
    for (struct json_iter it = json_iter(values); json_next(&it);) {
        const struct json *stack = json_get(it.value, STR("stacktrace"));
        CHECK_TYPES(it.value, JSON_STRING, "type", "value");
        CHECK_TYPES(it.value, JSON_OBJECT, "stacktrace", "mechanism");
        if (stack)
            CHECK_TYPES(stack, JSON_ARRAY, "frames");
        for (struct json_iter frame = json_iter(json_get(stack, STR("frames"))); json_next(&frame);)
            check_frame(frame.value);
    }
}

static void check_breadcrumbs(const struct json *breadcrumbs)
{
    const struct json *values = json_get(breadcrumbs, STR("values"));
    assert(!breadcrumbs || json_type(values) == JSON_ARRAY);
    for (struct json_iter it = json_iter(values); json_next(&it);) {
        CHECK_TYPES(it.value, JSON_NUMBER, "timestamp");
        CHECK_TYPES(it.value, JSON_STRING, "type", "category", "message", "level");
        CHECK_TYPES(it.value, JSON_OBJECT, "data");
    }
}

static void check_copy(const struct json *root)
{
    const struct json *user = json_get(root, STR("user")), *logentry = json_get(root, STR("logentry"));
    CHECK_TYPES(root, JSON_OBJECT, "exception", "threads", "breadcrumbs", "contexts", "tags", "user", "request", "logentry", "stacktrace",
                "modules", "sdk", "_meta");
    CHECK_TYPES(root, JSON_STRING, "event_id", "level", "message", "type", "platform", "release", "environment", "dist", "transaction",
                "logger");
    CHECK_TYPES(root, JSON_NUMBER, "timestamp", "received", "project");
    CHECK_TYPES(root, JSON_ARRAY, "fingerprint", "errors");
    check_exceptions(json_get(root, STR("exception")));
    check_breadcrumbs(json_get(root, STR("breadcrumbs")));
    check_all(json_get(root, STR("contexts")), JSON_OBJECT);
    check_all(json_get(root, STR("tags")), JSON_STRING);
    if (user)
        CHECK_TYPES(user, JSON_STRING, "id", "email", "ip_address", "username");
    if (logentry)
        CHECK_TYPES(logentry, JSON_STRING, "message", "formatted");
    for (struct json_iter it = json_iter(root); json_next(&it);) {
        struct str key;
        bool once = json_str_raw(it.key, &key) && json_get(root, key) == it.value;
        assert(once);
    }
}

static void normalise(struct str payload, const struct event_row *row, struct buf *out)
{
    AUTO_JSON struct json_doc *doc = NULL;
    int r = event_normalise(payload, row, out);
    assert(r == 0 && str_is_utf8(buf_str(out)));
    r = json_parse(buf_str(out), &doc, NULL);
    assert(r == 0);
    check_copy(json_root(doc));
}

static size_t run_of(struct str line, size_t i)
{
    size_t n = 0;
    while (i + n < line.n && line.p[i + n] == '`')
        n++;
    return n;
}

/* Offset behind the span that `n` backticks open before `i`. */
static size_t span_end(struct str line, size_t i, size_t n)
{
    while (i < line.n) {
        size_t run = run_of(line, i);
        i += run > 0 ? run : 1;
        if (run == n)
            return i;
    }
    assert(false);
    return i;
}

/* Outside of spans nothing but our own words. */
static void check_line(struct str line)
{
    for (size_t i = 0; i < line.n;) {
        size_t run = run_of(line, i);
        if (run > 0) {
            i = span_end(line, i + run, run);
            continue;
        }
        char c = line.p[i++];
        assert((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || memchr(" #-*:|,.", c, 8));
    }
}

/* Code ends where it is meant to, and each line outside of it is of ours. */
static void check_page(struct str title, struct str copy)
{
    static const struct str starts[] = {STR("# "), STR("## "), STR("### "), STR("- "), STR("| "), STR("|---|---|---|---|")};
    AUTO_BUF struct buf page = {0};
    size_t fence = 0;
    int r = event_markdown(title, copy, &page);
    assert(r == 0 && str_is_utf8(buf_str(&page)) && str_starts(buf_str(&page), STR("# ")));
    for (struct str rest = buf_str(&page); rest.p;) {
        struct str line = str_cut(&rest, '\n');
        size_t n = run_of(line, 0);
        bool is_fence = n >= 3 && n == line.n, is_ours = line.n == 0;
        if (fence > 0) {
            fence = is_fence && n >= fence ? 0 : fence;
            continue;
        }
        fence = is_fence ? n : 0;
        for (size_t i = 0; i < ARRAY_LEN(starts); i++)
            is_ours = is_ours || str_starts(line, starts[i]);
        assert(is_fence || is_ours);
        if (!is_fence)
            check_line(line);
    }
    assert(fence == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str payload = {(const char *)data, size}, title, key;
    struct event_origin origin = {.received_us = INT64_C(1795262400000000),
                                  .sent_at_us = INT64_C(1795255200000000),
                                  .envelope_header = payload};
    AUTO_BUF struct buf first = {0}, second = {0};
    struct event_fields fields;
    struct id128 id;
    struct arena arena;
    enum event_class class;
    arena_init(&arena);
    int r = event_read(payload, &origin, &arena, &fields);
    int peeked = event_peek(payload, &id, &class);
    int grouped = event_grouping_key(payload, &arena, &title, &key);
    assert(r == peeked && r == grouped && (r == 0 || r == -ERR_BAD_JSON || r == -ERR_NOT_AN_OBJECT));
    if (r == 0) {
        check_fields(&fields);
        assert(str_eq(title, fields.title) && str_is_utf8(key) && class == fields.class);
        struct event_row row = {.event_id = id,
                                .project_id = 7,
                                .received_us = origin.received_us,
                                .timestamp_us = fields.timestamp_us,
                                .client_address = size % 2 ? STR("192.0.2.7") : STR(""),
                                .sdk_name = fields.sdk_name,
                                .sdk_version = fields.sdk_version};
        normalise(payload, &row, &first);
        normalise(buf_str(&first), &row, &second);
        assert(str_eq(buf_str(&first), buf_str(&second)));
        check_page(fields.title, buf_str(&first));
    }
    arena_done(&arena);
    return 0;
}
