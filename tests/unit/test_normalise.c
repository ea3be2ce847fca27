/* The copy of a payload that dashboards read: contract §7.6 "→ Ours", protocol §5.1–5.13; the cases are in data/normalise.jsonl. A case's
 * `expect` names members of the copy: each must be there with exactly that value, or be absent where null is expected; its `row` holds
 * received, timestamp (RFC 3339), address, sdk_name and sdk_version. */
#include "event_cases.h"

#include "picket/base/clock.h"
#include "picket/base/error.h"

static const struct event_row ROW = {
    .event_id = {{0xfc, 0x6d, 0x8c, 0x0c, 0x43, 0xfc, 0x06, 0x30, 0xad, 0x85, 0x0e, 0xe5, 0x18, 0xf1, 0xb9, 0xd0}}};

static int64_t row_time(const struct event_case *c, struct str key)
{
    int64_t us = 0;
    struct str s;
    if (json_str(json_get(json_get(c->row, STR("row")), key), c->arena, &s))
        assert_true(clock_parse(s, &us));
    return us;
}

/* A copy of the copy is the same. */
static bool stands_still(const struct event_case *c, const struct event_row *row, const struct buf *copy)
{
    AUTO_BUF struct buf again = {0};
    assert_int_equal(event_normalise(buf_str(copy), row, &again), 0);
    return case_same(c, "the copy's copy", buf_str(&again), buf_str(copy));
}

static bool normalise_case(const struct event_case *c)
{
    AUTO_BUF struct buf out = {0};
    AUTO_JSON struct json_doc *copy = NULL;
    struct event_row row = ROW;
    bool good = true;
    row.received_us = row_time(c, STR("received"));
    row.timestamp_us = row_time(c, STR("timestamp"));
    const struct json *known = json_get(c->row, STR("row"));
    (void)json_str(json_get(known, STR("address")), c->arena, &row.client_address); /* each may be absent */
    (void)json_str(json_get(known, STR("sdk_name")), c->arena, &row.sdk_name);
    (void)json_str(json_get(known, STR("sdk_version")), c->arena, &row.sdk_version);
    if (event_normalise(c->payload, &row, &out) != 0 || json_parse(buf_str(&out), &copy, NULL) != 0) {
        print_error("%.*s: refused, or the copy is no JSON\n", STR_ARG(c->name));
        return false;
    }
    for (struct json_iter it = json_iter(json_get(c->row, STR("expect"))); json_next(&it);) {
        struct str key, wanted = STR("(absent)"), got = STR("(absent)");
        assert_true(json_str(it.key, c->arena, &key));
        (void)json_text(it.value, c->arena, &wanted); /* null: stays absent */
        (void)json_text(json_get(json_root(copy), key), c->arena, &got);
        good &= case_same(c, arena_cstr(c->arena, key), got, wanted);
    }
    return stands_still(c, &row, &out) && good;
}

static void payloads_are_normalised(void **state)
{
    (void)state;
    run_cases("normalise.jsonl", normalise_case);
}

/* Parses what event_normalise makes of `payload` and checks that no key of the root is there twice. */
static struct json_doc *normalised(struct str payload)
{
    AUTO_BUF struct buf out = {0};
    struct json_doc *doc = NULL;
    assert_int_equal(event_normalise(payload, &ROW, &out), 0);
    assert_int_equal(json_parse(buf_str(&out), &doc, NULL), 0);
    assert_int_equal(json_type(json_root(doc)), JSON_OBJECT);
    for (struct json_iter it = json_iter(json_root(doc)); json_next(&it);) {
        struct str key;
        assert_true(json_str_raw(it.key, &key));
        assert_ptr_equal(json_get(json_root(doc), key), it.value); /* json_get finds the last of duplicates */
    }
    return doc;
}

static void output_is_appended(void **state)
{
    (void)state;
    AUTO_BUF struct buf out = {0};
    buf_append_str(&out, STR("before"));
    assert_int_equal(event_normalise(STR("{}"), &ROW, &out), 0);
    assert_true(
        str_eq(buf_str(&out), STR("before{\"event_id\":\"fc6d8c0c43fc0630ad850ee518f1b9d0\",\"type\":\"default\",\"level\":\"error\","
                                  "\"platform\":\"other\"}")));
}

/* 100,000 levels, alternately arrays and objects, under every key that has a shape of its own. */
static void nesting_of_any_depth_is_copied(void **state)
{
    (void)state;
    enum { PAIRS = 50000 };
    static const char *const forms[] = {
        /* $ is where the nesting goes */
        "{\"extra\":$}",
        "{\"exception\":$}",
        "{\"exception\":[{\"stacktrace\":{\"frames\":[{\"vars\":{\"x\":$},\"pre_context\":[$]}]}}]}",
        "{\"contexts\":{\"a\":{\"b\":$}}}",
        "{\"contexts\":$}",
        "{\"tags\":$}",
        "{\"tags\":{\"a\":$}}",
        "{\"user\":{\"id\":$,\"data\":$}}",
        "{\"request\":{\"data\":$}}",
        "{\"breadcrumbs\":[{\"data\":{\"a\":$},\"message\":$}]}",
        "{\"threads\":$}",
        "{\"logentry\":$}",
        "{\"logentry\":{\"message\":\"{0} %s\",\"params\":[$]}}",
        "{\"message\":$}",
        "{\"level\":$}",
        "{\"timestamp\":$}",
    };
    AUTO_BUF struct buf deep = {0};
    for (unsigned i = 0; i < PAIRS; i++)
        buf_append_str(&deep, STR("[{\"a\":"));
    buf_append_str(&deep, STR("null"));
    for (unsigned i = 0; i < PAIRS; i++)
        buf_append_str(&deep, STR("}]"));
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        AUTO_BUF struct buf payload = {0};
        AUTO_JSON struct json_doc *doc = NULL;
        for (const char *p = forms[i]; *p; p++)
            if (*p == '$')
                buf_append_str(&payload, buf_str(&deep));
            else
                buf_append_char(&payload, *p);
        doc = normalised(buf_str(&payload));
    }
}

static void duplicates_are_written_once(void **state)
{
    (void)state;
    enum { KEYS = 20000 };
    AUTO_BUF struct buf payload = {0};
    AUTO_JSON struct json_doc *doc = NULL;
    int64_t v;
    buf_append_char(&payload, '{');
    for (unsigned i = 0; i < KEYS; i++)
        buf_printf(&payload, "\"k%u\":%u,\"level\":\"info\",", i % 7, i);
    buf_append_str(&payload, STR("\"level\":\"error\"}"));
    doc = normalised(buf_str(&payload));
    assert_int_equal(json_count(json_root(doc)), 4 + 7);
    assert_true(json_i64(json_get(json_root(doc), STR("k0")), &v));
    assert_int_equal(v, 19999 - 19999 % 7);
}

/* One parameter may be named many times: neither the text nor the time may grow with times × length (a hundred gigabytes here). */
static void interpolation_is_bounded(void **state)
{
    (void)state;
    enum { TIMES = 100000, LENGTH = 300000 };
    static const struct str placeholders[] = {STR("{0}"), STR("%s"), STR("{"), STR("%("), STR("%%")};
    for (size_t i = 0; i < ARRAY_LEN(placeholders); i++) {
        AUTO_BUF struct buf payload = {0};
        AUTO_JSON struct json_doc *doc = NULL;
        struct arena arena;
        struct str formatted;
        arena_init(&arena);
        buf_append_str(&payload, STR("{\"logentry\":{\"message\":\""));
        for (unsigned n = 0; n < TIMES; n++)
            buf_append_str(&payload, placeholders[i]);
        buf_append_str(&payload, STR("\",\"params\":[\""));
        for (unsigned n = 0; n < LENGTH; n++)
            buf_append_char(&payload, 'p');
        buf_append_str(&payload, STR("\"]}}"));
        doc = normalised(buf_str(&payload));
        assert_true(json_str(json_get(json_get(json_root(doc), STR("logentry")), STR("formatted")), &arena, &formatted));
        assert_int_equal(formatted.n, 8192); /* protocol §5.10 */
        arena_done(&arena);
    }
}

/* Whatever there may be a hundred thousand of takes time and memory in proportion. The alarm is for what grows with the square. */
static void many_elements_are_no_trouble(void **state)
{
    (void)state;
    enum { ELEMENTS = 100000, SECONDS = 30 };
    static const struct {
        struct str before, element, after;
    } forms[] = {
        {STR("{\"exception\":["), STR("{}"), STR("]}")},
        {STR("{\"exception\":[{\"stacktrace\":{\"frames\":["), STR("{}"), STR("]}}]}")},
        {STR("{\"stacktrace\":{},\"threads\":{\"values\":["), STR("{\"stacktrace\":{}}"), STR("]}}")},
        {STR("{\"breadcrumbs\":["), STR("{\"timestamp\":\"1\"}"), STR("]}")},
        {STR("{\"tags\":["), STR("[\"k\",\"v\"]"), STR("]}")},
        {STR("{\"tags\":{"), STR("\"k\":\"v\""), STR("}}")},
        {STR("{\"contexts\":{"), STR("\"k\":{}"), STR("}}")},
        {STR("{\"logentry\":{\"message\":\"%s\",\"params\":["), STR("\"\""), STR("]}}")},
        {STR("{"), STR("\"\":1"), STR("}")},
        {STR("{\"tags\":{"), STR("\"/\":1"), STR("}}")},
        {STR("{\"tags\":["), STR("[\"/\",1]"), STR("]}")},
        {STR("{\"user\":1,\"level\":[],\"errors\":["), STR("{}"), STR("]}")},
        {STR("{\"user\":{\"id\":[]},\"_meta\":{\"user\":{"), STR("\"k\":{}"), STR("}}}")},
        {STR("{\"request\":{\"headers\":["), STR("[\"a\",\"b\"]"), STR("]}}")},
        {STR("{\"request\":{\"query_string\":["), STR("[\"a\",\"b\"]"), STR("]}}")},
    };
    (void)alarm(SECONDS);
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        AUTO_BUF struct buf payload = {0};
        AUTO_JSON struct json_doc *doc = NULL;
        buf_append_str(&payload, forms[i].before);
        for (unsigned n = 0; n < ELEMENTS; n++) {
            if (n > 0)
                buf_append_char(&payload, ',');
            buf_append_str(&payload, forms[i].element);
        }
        buf_append_str(&payload, forms[i].after);
        doc = normalised(buf_str(&payload));
    }
    (void)alarm(0);
}

/* However many elements a list loses, that is one note; what is one for each member is bounded by NOTES_MAX. */
static void notes_are_bounded(void **state)
{
    (void)state;
    enum { ELEMENTS = 10000, LISTS = 4, NOTES = 200 };
    static const char *const forms[] = {
        /* $ are elements, % members */
        "{\"exception\":[$],\"threads\":{\"values\":[$]},\"breadcrumbs\":[$],\"stacktrace\":{\"frames\":[$]}}",
        "{\"exception\":{\"values\":[],%}}",
        "{\"user\":{%,\"data\":{%}}}",
    };
    static const size_t wanted[ARRAY_LEN(forms)] = {LISTS, NOTES, NOTES};
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        AUTO_BUF struct buf payload = {0};
        AUTO_JSON struct json_doc *doc = NULL;
        for (const char *p = forms[i]; *p; p++) {
            if (*p != '$' && *p != '%')
                buf_append_char(&payload, *p);
            for (unsigned n = 0; n < ELEMENTS && *p == '$'; n++)
                buf_printf(&payload, "%s%u", n > 0 ? "," : "", n);
            for (unsigned n = 0; n < ELEMENTS && *p == '%'; n++)
                buf_printf(&payload, "%s\"k%u\":1", n > 0 ? "," : "", n);
        }
        doc = normalised(buf_str(&payload));
        assert_int_equal(json_count(json_get(json_root(doc), STR("errors"))), wanted[i]);
    }
}

static void bad_bytes_come_out_as_utf8(void **state)
{
    (void)state;
    static const char payload[] =
        "{\"\xFF\\u0000\":\"\\ud83d\xC3(\",\"tags\":{\"\xFE\":\"\xED\xA0\x80\"},\"message\":\"\\u0000\",\"extra\":[1e400,NaN]}";
    AUTO_BUF struct buf out = {0};
    assert_int_equal(event_normalise(str_of(payload, sizeof payload - 1), &ROW, &out), 0);
    assert_true(str_is_utf8(buf_str(&out)));
    for (size_t i = 0; i + 6 <= out.n; i++)
        assert_false(str_eq(str_of(out.p + i, 6), STR("\\u0000")));
    json_free(normalised(str_of(payload, sizeof payload - 1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(payloads_are_normalised),
        cmocka_unit_test(output_is_appended),
        cmocka_unit_test(nesting_of_any_depth_is_copied),
        cmocka_unit_test(duplicates_are_written_once),
        cmocka_unit_test(interpolation_is_bounded),
        cmocka_unit_test(many_elements_are_no_trouble),
        cmocka_unit_test(notes_are_bounded),
        cmocka_unit_test(bad_bytes_come_out_as_utf8),
    };
    return cmocka_run_group_tests_name("normalise", tests, NULL, NULL);
}
