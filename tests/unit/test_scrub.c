/* What must not be stored goes, and nothing else: protocol §5.15. Cases are in data/scrub.jsonl: an event (or payload, or text) and what it
 * becomes: `scrubbed` is the event without _meta, `meta` its _meta, `out` the whole text, `becomes` the text; none of them: it stays as it
 * is. `rules`: event_cases.h. */
#include "event_cases.h"
#include "slow_pieces.h"

#include <time.h>

#include "picket/base/clock.h"
#include "picket/base/error.h"

/* The text's root without _meta, and that. */
static bool take_apart(struct str text, struct buf *ret_event, struct buf *ret_meta)
{
    AUTO_JSON struct json_doc *doc = NULL;
    struct json_writer w;
    struct str key;
    if (json_parse(text, &doc, NULL) != 0)
        return false;
    json_writer_init(&w, ret_event);
    json_begin_object(&w);
    for (struct json_iter it = json_iter(json_root(doc)); json_next(&it);) {
        if (json_str_raw(it.key, &key) && !str_eq(key, STR("_meta"))) {
            json_key(&w, key);
            json_put_value(&w, it.value);
        }
    }
    json_end_object(&w);
    json_writer_init(&w, ret_meta);
    json_put_value(&w, json_get(json_root(doc), STR("_meta")));
    return true;
}

static bool check_event(const struct event_case *c, struct str out)
{
    AUTO_BUF struct buf event = {0}, meta = {0};
    if (json_get(c->row, STR("out")))
        return case_same(c, "text", out, case_text(c, STR("out")));
    if (!take_apart(out, &event, &meta)) {
        print_error("%.*s: no JSON any more: <%.*s>\n", STR_ARG(c->name), STR_ARG(out));
        return false;
    }
    bool good = case_same(c, "event", buf_str(&event), case_text(c, STR("scrubbed")));
    return (!json_get(c->row, STR("meta")) || case_same(c, "_meta", buf_str(&meta), case_text(c, STR("meta")))) && good;
}

static bool scrub_case(const struct event_case *c)
{
    AUTO_BUF struct buf out = {0}, again = {0};
    const struct scrub_rules rules = case_rules(c);
    bool is_text = json_get(c->row, STR("text")) != NULL;
    struct str text = is_text ? case_text(c, STR("text")) : c->payload;
    bool stays = !json_get(c->row, STR("scrubbed")) && !json_get(c->row, STR("out")) && !json_get(c->row, STR("becomes"));
    int r = is_text ? scrub_text(text, &rules, &out) : scrub_event(text, &rules, &out);
    if (r < 0 || (r == 0) != stays || (r == 0) != (out.n == 0)) {
        print_error("%.*s: result %d, text <%.*s>\n", STR_ARG(c->name), r, STR_ARG(buf_str(&out)));
        return false;
    }
    if (stays)
        return true;
    r = is_text ? scrub_text(buf_str(&out), &rules, &again) : scrub_event(buf_str(&out), &rules, &again);
    if (r != 0)
        print_error("%.*s: once more makes <%.*s>\n", STR_ARG(c->name), STR_ARG(buf_str(&again)));
    return (is_text ? case_same(c, "text", buf_str(&out), case_text(c, STR("becomes"))) : check_event(c, buf_str(&out))) && r == 0;
}

static void cases_come_out_as_they_should(void **state)
{
    (void)state;
    run_cases("scrub.jsonl", scrub_case);
}

static void output_is_appended(void **state)
{
    (void)state;
    AUTO_BUF struct buf out = {0};
    struct scrub_rules rules = SCRUB_DEFAULTS;
    buf_append_str(&out, STR("before"));
    assert_int_equal(scrub_event(STR("{\"_meta\":{},\"token\":1}"), &rules, &out), 1);
    assert_true(str_eq(buf_str(&out), STR("before{\"_meta\":{\"token\":{\"\":{\"rem\":[[\"@password:filter\",\"s\",0,10]]}}},"
                                          "\"token\":\"[Filtered]\"}")));
    assert_int_equal(scrub_event(STR("{\"token\":"), &rules, &out), -ERR_BAD_JSON);
    assert_int_equal(scrub_event(STR(""), &rules, &out), -ERR_BAD_JSON);
}

/* Where a password at the bottom of 100,000 levels goes, and no stack is used up. */
static void any_depth_is_searched(void **state)
{
    (void)state;
    enum { PAIRS = 50000 };
    struct scrub_rules rules = SCRUB_DEFAULTS;
    AUTO_BUF struct buf payload = {0}, out = {0};
    buf_append_str(&payload, STR("{\"extra\":"));
    for (unsigned i = 0; i < PAIRS; i++)
        buf_append_str(&payload, STR("[{\"a\":"));
    buf_append_str(&payload, STR("{\"password\":\"hunter2\"}"));
    for (unsigned i = 0; i < PAIRS; i++)
        buf_append_str(&payload, STR("}]"));
    buf_append_char(&payload, '}');
    assert_int_equal(scrub_event(buf_str(&payload), &rules, &out), 1);
    assert_null(memmem(out.p, out.n, "hunter2", 7));
    assert_int_equal(out.n, payload.n + 3);
}

/* As many changes as fit into a megabyte: all are made, some are noted. */
static void many_changes_are_made(void **state)
{
    (void)state;
    enum { CHANGES = 50000 };
    struct scrub_rules rules = SCRUB_DEFAULTS;
    AUTO_BUF struct buf payload = {0}, out = {0};
    AUTO_JSON struct json_doc *doc = NULL;
    buf_append_str(&payload, STR("{\"extra\":["));
    for (unsigned i = 0; i < CHANGES; i++)
        buf_append_str(&payload, i ? STR(",{\"token\":\"hunter2\"}") : STR("{\"token\":\"hunter2\"}"));
    buf_append_str(&payload, STR("]}"));
    assert_int_equal(scrub_event(buf_str(&payload), &rules, &out), 1);
    assert_null(memmem(out.p, out.n, "hunter2", 7));
    assert_int_equal(json_parse(buf_str(&out), &doc, NULL), 0);
    assert_int_equal(json_count(json_get(json_get(json_root(doc), STR("_meta")), STR("extra"))), 100);
}

/* Of this thread: what others do beside it is not measured. */
static int64_t own_time_us(void)
{
    struct timespec ts;
    assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts), 0);
    return (int64_t)ts.tv_sec * CLOCK_US_PER_S + ts.tv_nsec / 1000;
}

/* Texts on which a careless search takes time by the square of their length. The bound is far above what a megabyte takes even under a
 * sanitizer, and far below what a square costs. */
static void time_is_linear(void **state)
{
    (void)state;
    enum { LENGTH = 1 << 20, BOUND_US = 5000000 };
    struct scrub_rules rules = {.enabled = true, .drops_ip = true};
    for (size_t i = 0; i < ARRAY_LEN(slow_pieces); i++) {
        AUTO_BUF struct buf text = {0}, payload = {0}, out = {0};
        struct json_writer w;
        while (text.n < LENGTH)
            buf_append_str(&text, str_from(slow_pieces[i]));
        json_writer_init(&w, &payload);
        json_begin_object(&w);
        json_field_str(&w, STR("message"), buf_str(&text));
        json_field_str(&w, STR("other"), buf_str(&text));
        json_end_object(&w);
        int64_t start = own_time_us();
        assert_true(scrub_event(buf_str(&payload), &rules, &out) >= 0);
        int64_t took = own_time_us() - start;
        if (took > BOUND_US)
            fail_msg("a megabyte of <%s> takes %lld us", slow_pieces[i], (long long)took);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cases_come_out_as_they_should), cmocka_unit_test(output_is_appended), cmocka_unit_test(any_depth_is_searched),
        cmocka_unit_test(many_changes_are_made),         cmocka_unit_test(time_is_linear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
