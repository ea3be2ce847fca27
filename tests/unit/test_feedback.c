/* Feedback and user reports (protocol §7.3, §7.4) as the digest stores them; the cases are in data/feedback.jsonl: the payload of a `kind` (feedback, if
 * it does not say) from an `address`, by an `sdk` that the envelope names, under `rules` (event_cases.h). Of what is made of it the case has those members
 * that it is about in `wanted`; or `error`, the name of the reason why it is none. */
#include "event_cases.h"

#include "picket/base/error.h"
#include "picket/event/items.h"

static const struct str members[] = {STR("id"),  STR("event_id"), STR("name"),    STR("email"),       STR("message"),
                                     STR("url"), STR("source"),   STR("release"), STR("environment"), STR("data")};

static int read_case(const struct event_case *c, const struct scrub_rules *rules, struct buf *out)
{
    struct item_origin origin = {.received_us = INT64_C(1795262400000000),
                                 .project_id = 42,
                                 .rules = rules,
                                 .client_address = case_text(c, STR("address")),
                                 .sdk_name = case_text(c, STR("sdk"))};
    if (str_eq(case_text(c, STR("kind")), STR("user_report")))
        return user_report_read(c->payload, &origin, out);
    return feedback_read(c->payload, &origin, out);
}

static bool feedback_case(const struct event_case *c)
{
    const struct scrub_rules rules = case_rules(c);
    AUTO_BUF struct buf out = {0};
    AUTO_JSON struct json_doc *doc = NULL;
    unsigned n = 0;
    int r = read_case(c, &rules, &out);
    if (!case_same(c, "error", r < 0 ? str_from(err_name(r)) : STR(""), case_text(c, STR("error"))))
        return false;
    if (r < 0)
        return case_same(c, "result", buf_str(&out), STR(""));
    assert_int_equal(json_parse(buf_str(&out), &doc, NULL), 0);
    const struct json *feedback = json_get(json_root(doc), STR("feedback"));
    assert_int_equal(json_count(json_get(json_root(doc), STR("outcomes"))), 1);
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        struct str got = STR(""), expected = STR(""); /* null */
        const struct json *wanted = json_get(json_get(c->row, STR("wanted")), members[i]);
        if (json_type(wanted) == JSON_NONE)
            continue;
        (void)json_text(json_get(feedback, members[i]), c->arena, &got);
        (void)json_text(wanted, c->arena, &expected);
        n++;
        if (!case_same(c, members[i].p, got, expected))
            return false;
    }
    assert_true(n > 0);
    return true;
}

static void payloads_are_read(void **state)
{
    (void)state;
    run_cases("feedback.jsonl", feedback_case);
}

static void open_all(struct buf *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_append_str(b, STR("[{\"a\":"));
    buf_append_char(b, '1');
    for (size_t i = 0; i < n; i++)
        buf_append_str(b, STR("}]"));
}

/* PostgreSQL reads a jsonb by recursion: what is nested deeply in each place of a payload becomes text, and nothing is lost. */
static void nesting_is_bounded(void **state)
{
    (void)state;
    enum { LEVELS = 20000 };
    static const struct str places[] = {STR("\"contexts\":{\"feedback\":{\"message\":\"x\"},\"deep\":{\"a\":"),
                                        STR("\"contexts\":{\"feedback\":{\"message\":\"x\"}},\"user\":{\"id\":1,\"a\":{\"b\":"),
                                        STR("\"contexts\":{\"feedback\":{\"message\":\"x\"}},\"request\":{\"data\":{\"a\":"),
                                        STR("\"contexts\":{\"feedback\":{\"message\":\"x\"}},\"sdk\":{\"name\":\"x\",\"x\":{\"a\":"),
                                        STR("\"contexts\":{\"feedback\":{\"message\":\"x\"}},\"tags\":{\"x\":{\"a\":")};
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        AUTO_BUF struct buf payload = {0}, out = {0};
        AUTO_JSON struct json_doc *doc = NULL;
        struct item_origin origin = {.received_us = 1};
        struct json_walk w;
        size_t deepest = 0;
        buf_append_char(&payload, '{');
        buf_append_str(&payload, places[i]);
        open_all(&payload, LEVELS);
        buf_append_str(&payload, STR("}}}"));
        assert_int_equal(feedback_read(buf_str(&payload), &origin, &out), 0);
        assert_int_equal(json_parse(buf_str(&out), &doc, NULL), 0);
        json_walk_start(&w, json_root(doc));
        while (json_walk_next(&w))
            deepest = w.depth > deepest ? w.depth : deepest;
        json_walk_done(&w);
        assert_true(deepest < JSON_WRITER_DEPTH);
        assert_true(out.n > (i == 4 ? 200 : 6 * LEVELS)); /* a tag's text is cut, as an event's */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(payloads_are_read), cmocka_unit_test(nesting_is_bounded)};
    return cmocka_run_group_tests_name("feedback", tests, NULL, NULL);
}
