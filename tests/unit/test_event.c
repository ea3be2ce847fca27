/* The columns of an event: contract §3.3–3.5, protocol §5; the cases are in data/columns.jsonl. A case's `origin` holds received, sent_at
 * (RFC 3339) and header (an envelope header); its `expect` names columns. */
#include "event_cases.h"

#include "picket/base/clock.h"
#include "picket/base/error.h"
#include "picket/event/items.h"

/* ---- columns */

static int64_t origin_time(const struct event_case *c, struct str key, int64_t absent)
{
    int64_t us = absent;
    struct str s;
    if (json_str(json_get(json_get(c->row, STR("origin")), key), c->arena, &s))
        assert_true(clock_parse(s, &us));
    return us;
}

static struct str class_name(enum event_class class)
{
    static const struct str names[] = {[EVENT_ERROR] = STR("error"),
                                       [EVENT_REPORT] = STR("report"),
                                       [EVENT_FEEDBACK] = STR("feedback"),
                                       [EVENT_TRANSACTION] = STR("transaction")};
    return names[class];
}

static struct str column(const struct event_case *c, const struct event_fields *f, struct str name)
{
    const struct {
        struct str name, value;
    } columns[] = {
        {STR("type"), f->type},
        {STR("value"), f->value},
        {STR("title"), f->title},
        {STR("transaction"), f->transaction},
        {STR("level"), f->level},
        {STR("platform"), f->platform},
        {STR("release"), f->release},
        {STR("environment"), f->environment},
        {STR("server_name"), f->server_name},
        {STR("sdk_name"), f->sdk_name},
        {STR("sdk_version"), f->sdk_version},
        {STR("frame_filename"), f->frame_filename},
        {STR("frame_module"), f->frame_module},
        {STR("frame_function"), f->frame_function},
        {STR("class"), class_name(f->class)},
        {STR("hides_address"), f->hides_address ? STR("yes") : STR("no")},
    };
    if (str_eq(name, STR("timestamp"))) {
        char text[CLOCK_RFC3339_MAX];
        size_t n = clock_format(f->timestamp_us, text);
        return arena_str(c->arena, str_of(text, n));
    }
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        if (str_eq(columns[i].name, name))
            return columns[i].value;
    fail_msg("no such column: %.*s", STR_ARG(name));
    return STR("");
}

static bool columns_case(const struct event_case *c)
{
    struct event_origin origin = {
        .received_us = origin_time(c, STR("received"), INT64_C(1795262400000000)), /* 2026-11-21T12:00:00Z */
        .sent_at_us = origin_time(c, STR("sent_at"), 0),
    };
    struct event_fields fields;
    bool good = true;
    (void)json_text(json_get(json_get(c->row, STR("origin")), STR("header")), c->arena, &origin.envelope_header); /* may be absent */
    if (event_read(c->payload, &origin, c->arena, &fields) != 0) {
        print_error("%.*s: refused\n", STR_ARG(c->name));
        return false;
    }
    for (struct json_iter it = json_iter(json_get(c->row, STR("expect"))); json_next(&it);) {
        struct str key, wanted = STR("");
        assert_true(json_str(it.key, c->arena, &key));
        assert_true(json_text(it.value, c->arena, &wanted));
        good &= case_same(c, arena_cstr(c->arena, key), column(c, &fields, key), wanted);
    }
    return good;
}

static void columns_are_read(void **state)
{
    (void)state;
    run_cases("columns.jsonl", columns_case);
}

/* ---- releases and environments are one rule (protocol §5.13), whoever says them */

typedef int read_fn(struct str payload, const struct item_origin *origin, struct buf *out);

/* What is stored of member `key` when an item says `around` with `value` in it. */
static struct str stored(const struct event_case *c, read_fn *read, const char *around, struct str within, struct str key, struct str value)
{
    const struct item_origin origin = {.received_us = INT64_C(1795262400000000), .project_id = 42};
    AUTO_BUF struct buf out = {0};
    AUTO_JSON struct json_doc *doc = NULL;
    struct str text, s = STR("");
    text = arena_printf(c->arena, around, STR_ARG(key), STR_ARG(value));
    assert_int_equal(read(text, &origin, &out), 0);
    assert_int_equal(json_parse(buf_str(&out), &doc, NULL), 0);
    const struct json *at = within.n ? json_get(json_root(doc), within) : json_root(doc);
    assert_true(json_str(json_get(at, key), c->arena, &s));
    return arena_str(c->arena, s);
}

/* Of the columns' cases those that are about nothing else. */
static bool same_everywhere(const struct event_case *c)
{
    struct json_iter it = json_iter(json_get(c->row, STR("event")));
    struct str key, value, wanted;
    if (json_count(json_get(c->row, STR("event"))) != 1 || !json_next(&it) || !json_str(it.key, c->arena, &key) ||
        !json_text(json_get(json_get(c->row, STR("expect")), key), c->arena, &wanted))
        return true;
    bool is_environment = str_eq(key, STR("environment"));
    if (!is_environment && !str_eq(key, STR("release")))
        return true;
    AUTO_BUF struct buf json = {0};
    struct json_writer w;
    json_writer_init(&w, &json);
    json_put_value(&w, it.value);
    value = buf_str(&json);
    struct str of_session = stored(c, session_read, "{\"started\":1795262400,\"attrs\":{\"%.*s\":%.*s}}", STR(""), key, value);
    struct str of_feedback =
        stored(c, feedback_read, "{\"contexts\":{\"feedback\":{\"message\":\"m\"}},\"%.*s\":%.*s}", STR("feedback"), key, value);
    struct str of_check_in =
        stored(c, check_in_read, "{\"monitor_slug\":\"m\",\"status\":\"ok\",\"%.*s\":%.*s}", STR("check_in"), key, value);
    bool is_none = is_environment && wanted.n == 0; /* protocol §7.2: a monitor always has one */
    return case_same(c, "a session's", of_session, wanted) && case_same(c, "feedback's", of_feedback, wanted) &&
           case_same(c, "a check-in's", of_check_in, is_none ? STR("production") : wanted);
}

static void releases_and_environments_are_the_same_everywhere(void **state)
{
    (void)state;
    run_cases("columns.jsonl", same_everywhere);
}

/* ---- what is no event */

static void what_is_no_object_is_refused(void **state)
{
    (void)state;
    static const struct {
        struct str payload;
        int error;
    } cases[] = {
        {STR(""), -ERR_BAD_JSON},          {STR("{"), -ERR_BAD_JSON},       {STR("{\"a\":1} x"), -ERR_BAD_JSON},
        {STR("nonsense"), -ERR_BAD_JSON},  {STR("[]"), -ERR_NOT_AN_OBJECT}, {STR("\"{}\""), -ERR_NOT_AN_OBJECT},
        {STR("null"), -ERR_NOT_AN_OBJECT}, {STR("7"), -ERR_NOT_AN_OBJECT},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_BUF struct buf out = {0};
        struct event_origin origin = {.received_us = 1};
        struct event_fields fields;
        struct arena arena;
        struct id128 id = {0};
        struct str title, key;
        enum event_class class;
        arena_init(&arena);
        assert_int_equal(event_read(cases[i].payload, &origin, &arena, &fields), cases[i].error);
        assert_int_equal(event_peek(cases[i].payload, &id, &class), cases[i].error);
        assert_int_equal(event_grouping_key(cases[i].payload, &arena, &title, &key), cases[i].error);
        assert_int_equal(event_normalise(cases[i].payload, &(struct event_row){.event_id = id}, &out), cases[i].error);
        assert_int_equal(out.n, 0);
        arena_done(&arena);
    }
}

/* ---- the door's look (protocol §2.2, §5.1) */

static void peek_finds_id_and_type(void **state)
{
    (void)state;
    static const struct {
        struct str payload;
        const char *id;
        enum event_class class;
    } cases[] = {
        {STR("{\"event_id\":\"fc6d8c0c43fc4630ad850ee518f1b9d0\"}"), "fc6d8c0c43fc4630ad850ee518f1b9d0", EVENT_ERROR},
        {STR("{\"event_id\":\"FC6D8C0C-43FC-4630-AD85-0EE518F1B9D0\",\"type\":null}"), "fc6d8c0c43fc4630ad850ee518f1b9d0", EVENT_ERROR},
        {STR("{\"event_id\":\"no id\",\"type\":\"error\"}"), "00000000000000000000000000000000", EVENT_ERROR},
        {STR("{\"event_id\":17,\"type\":\"default\"}"), "00000000000000000000000000000000", EVENT_ERROR},
        {STR("{\"type\":\"transaction\"}"), "00000000000000000000000000000000", EVENT_TRANSACTION},
        {STR("{\"type\":\"transaction\",\"type\":\"error\"}"), "00000000000000000000000000000000", EVENT_ERROR},
        {STR("{}"), "00000000000000000000000000000000", EVENT_ERROR},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char hex[ID_HEX + 1];
        struct id128 id;
        enum event_class class;
        assert_int_equal(event_peek(cases[i].payload, &id, &class), 0);
        id_hex(&id, hex);
        assert_string_equal(hex, cases[i].id);
        assert_int_equal(class, cases[i].class);
    }
}

/* ---- limits and bad bytes */

static void read_ok(const struct buf *payload, struct arena *arena, struct event_fields *ret)
{
    struct event_origin origin = {.received_us = INT64_C(1795262400000000)};
    assert_int_equal(event_read(buf_str(payload), &origin, arena, ret), 0);
}

static void append_repeated(struct buf *b, struct str s, unsigned times)
{
    while (times-- > 0)
        buf_append_str(b, s);
}

static void append_long_field(struct buf *b, const char *name)
{
    buf_printf(b, "\"%s\":\"", name);
    append_repeated(b, STR("\xF0\x9F\x92\xA5"), 2000); /* four bytes each: limits count code points */
    buf_append_str(b, STR("\","));
}

static void long_values_are_cut_between_characters(void **state)
{
    (void)state;
    static const char *const names[] = {"transaction", "level", "platform", "release", "environment", "server_name"};
    AUTO_BUF struct buf payload = {0};
    struct event_fields f;
    struct arena arena;
    arena_init(&arena);
    buf_append_char(&payload, '{');
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        append_long_field(&payload, names[i]);
    buf_append_str(&payload, STR("\"exception\":[{"));
    append_long_field(&payload, "type");
    append_long_field(&payload, "value");
    buf_append_str(&payload, STR("\"x\":0,\"stacktrace\":{\"frames\":[{"));
    append_long_field(&payload, "filename");
    append_long_field(&payload, "module");
    append_long_field(&payload, "function");
    buf_append_str(&payload, STR("\"x\":0}]}}],\"sdk\":{"));
    append_long_field(&payload, "name");
    append_long_field(&payload, "version");
    buf_append_str(&payload, STR("\"x\":0}}"));
    read_ok(&payload, &arena, &f);
    const struct {
        struct str value;
        size_t limit;
    } columns[] = {
        {f.type, EVENT_MAX_TYPE},
        {f.value, EVENT_MAX_VALUE},
        {f.title, EVENT_MAX_TYPE + 2 + EVENT_MAX_VALUE},
        {f.transaction, EVENT_MAX_TRANSACTION},
        {f.level, EVENT_MAX_LEVEL},
        {f.platform, EVENT_MAX_PLATFORM},
        {f.release, EVENT_MAX_RELEASE},
        {f.environment, EVENT_MAX_ENVIRONMENT},
        {f.server_name, EVENT_MAX_SERVER_NAME},
        {f.sdk_name, EVENT_MAX_SDK},
        {f.sdk_version, EVENT_MAX_SDK},
        {f.frame_filename, EVENT_MAX_FRAME},
        {f.frame_module, EVENT_MAX_FRAME},
        {f.frame_function, EVENT_MAX_FRAME},
    };
    for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
        assert_true(str_is_utf8(columns[i].value));
        assert_int_equal(str_take_code_points(columns[i].value, columns[i].limit).n, columns[i].value.n);
        assert_true(str_take_code_points(columns[i].value, columns[i].limit - 1).n < columns[i].value.n);
    }
    arena_done(&arena);
}

/* Neither NUL nor a byte that is no UTF-8 may reach a text column (protocol §5.5, sdk-observed "Events"). */
static void columns_never_hold_nul_or_broken_utf8(void **state)
{
    (void)state;
    static const char payload[] =
        "{\"exception\":[{\"type\":\"T\\u0000\\ud83d\",\"value\":\"v\xC3(\\udc00\\u0000\"}],\"level\":\"\xFF\","
        "\"transaction\":\"\\u0000\",\"release\":\"1\\u0000\",\"environment\":\"\xED\xA0\x80\",\"fingerprint\":[\"\\u0000\xFE\"]}";
    struct event_origin origin = {.received_us = 1};
    struct event_fields f;
    struct arena arena;
    struct str title, key;
    arena_init(&arena);
    assert_int_equal(event_read(str_of(payload, sizeof payload - 1), &origin, &arena, &f), 0);
    assert_int_equal(event_grouping_key(str_of(payload, sizeof payload - 1), &arena, &title, &key), 0);
    const struct str all[] = {f.type, f.value, f.title, f.level, f.transaction, f.release, f.environment, title, key};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        assert_true(all[i].n > 0);
        assert_true(str_is_utf8(all[i]));
        assert_int_equal(str_find(all[i], '\0'), all[i].n);
    }
    assert_true(str_eq(f.type, STR("T\xEF\xBF\xBD\xEF\xBF\xBD")));
    arena_done(&arena);
}

static void nesting_of_any_depth_is_read(void **state)
{
    (void)state;
    enum { DEPTH = 100000 };
    static const char *const keys[] = {"extra", "exception", "fingerprint", "logentry", "message",
                                       "level", "timestamp", "sdk",         "release",  "event_id"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        AUTO_BUF struct buf payload = {0};
        struct event_fields f;
        struct arena arena;
        arena_init(&arena);
        buf_printf(&payload, "{\"%s\":", keys[i]);
        append_repeated(&payload, STR("["), DEPTH);
        append_repeated(&payload, STR("]"), DEPTH);
        buf_append_char(&payload, '}');
        read_ok(&payload, &arena, &f);
        assert_true(f.title.n > 0);
        arena_done(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_read),
        cmocka_unit_test(releases_and_environments_are_the_same_everywhere),
        cmocka_unit_test(what_is_no_object_is_refused),
        cmocka_unit_test(peek_finds_id_and_type),
        cmocka_unit_test(long_values_are_cut_between_characters),
        cmocka_unit_test(columns_never_hold_nul_or_broken_utf8),
        cmocka_unit_test(nesting_of_any_depth_is_read),
    };
    return cmocka_run_group_tests_name("event", tests, NULL, NULL);
}
