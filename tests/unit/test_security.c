/* Security reports (protocol §1.6, §3.9); the cases are in data/security.jsonl. A case's `event` (or `payload`) is the body, its `results` what the
 * reports in it become: the name of an error, or members of the event, with its `title` and grouping `key`. */
#include "event_cases.h"

#include "picket/base/error.h"
#include "picket/event/security.h"

static const struct security_origin origin = {
    .received_us = INT64_C(1795262400000000), /* 2026-11-21T12:00:00Z */
    .release = STR("shop@1"),
    .environment = STR("production"),
    .user_agent = STR("Mozilla/5.0"),
    .origin = STR("https://shop.example.com"),
};

/* Members as compact JSON; an expected null: absent. */
static bool same_event(const struct event_case *c, struct str event, const struct json *wanted)
{
    AUTO_JSON struct json_doc *doc = NULL;
    struct str title, key;
    bool good = true;
    assert_int_equal(json_parse(event, &doc, NULL), 0);
    assert_int_equal(event_grouping_key(event, c->arena, &title, &key), 0);
    for (struct json_iter it = json_iter(wanted); json_next(&it);) {
        struct str name, should = STR(""), is = STR("");
        assert_true(json_str(it.key, c->arena, &name));
        (void)json_text(it.value, c->arena, &should);
        (void)json_text(json_get(json_root(doc), name), c->arena, &is);
        if (str_eq(name, STR("title")))
            is = title;
        else if (str_eq(name, STR("key")))
            is = key;
        good &= case_same(c, arena_cstr(c->arena, name), is, should);
    }
    return good;
}

static bool same_result(const struct event_case *c, int r, const struct buf *event, const struct json *wanted)
{
    struct str error;
    if (json_str(wanted, c->arena, &error))
        return case_same(c, "error", r < 0 ? str_from(err_name(r)) : buf_str(event), error);
    if (r == 1)
        return same_event(c, buf_str(event), wanted);
    print_error("%.*s: %s\n", STR_ARG(c->name), r < 0 ? err_name(r) : "no report left");
    return false;
}

static bool report_case(const struct event_case *c)
{
    AUTO_BUF struct buf event = {0};
    struct security_reader reader;
    bool good = true;
    const struct json *results = json_get(c->row, STR("results"));
    int r = security_open(c->payload, &reader);
    if (r < 0)
        return json_count(results) == 1 && same_result(c, r, &event, json_at(results, 0));
    for (struct json_iter it = json_iter(results); json_next(&it);) {
        r = security_next(&reader, &origin, &event);
        assert_true(r == 1 || event.n == 0);
        good &= same_result(c, r, &event, it.value);
    }
    good &= case_same(c, "what follows", security_next(&reader, &origin, &event) == 0 ? STR("") : buf_str(&event), STR(""));
    security_done(&reader);
    return good;
}

static void reports_become_events(void **state)
{
    (void)state;
    run_cases("security.jsonl", report_case);
}

/* §1.6: what they are sent as. */
static void content_types(void **state)
{
    (void)state;
    static const struct {
        struct str type;
        bool fits;
    } cases[] = {
        {STR("application/csp-report"), true},
        {STR("Application/CSP-Report; charset=utf-8"), true},
        {STR("application/json"), true},
        {STR("application/reports+json"), true},
        {STR("application/expect-ct-report"), true},
        {STR("application/expect-ct-report+json"), true},
        {STR("application/expect-staple-report"), true},
        {STR("text/plain"), false},
        {STR("application/csp-report-x"), false},
        {STR(""), false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(security_is_report_type(cases[i].type), cases[i].fits);
}

/* §3.9: an item of type "security" bears an event. */
static void an_event_is_told_from_a_report(void **state)
{
    (void)state;
    static const struct {
        struct str body;
        bool is_event;
    } cases[] = {
        {STR("{\"type\":\"csp\",\"csp\":{\"blocked_uri\":\"x\"}}"), true},
        {STR("{\"sentry.interfaces.Hpkp\":{\"hostname\":\"x\"}}"), true},
        {STR("{\"csp-report\":{\"blocked-uri\":\"x\"}}"), false},
        {STR("{\"csp\":\"x\"}"), false},
        {STR("[{\"csp\":{}}]"), false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct security_reader reader;
        assert_int_equal(security_open(cases[i].body, &reader), 0);
        assert_int_equal(reader.is_event, cases[i].is_event);
        security_done(&reader);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reports_become_events),
        cmocka_unit_test(content_types),
        cmocka_unit_test(an_event_is_told_from_a_report),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
