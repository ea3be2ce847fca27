/* Pages and patterns of pages (protocol §1.3, §1.4); the cases are in data/origin.jsonl. A case has a `pattern`, and as what it is `kept`, "" where it is none;
 * it matches the `pages` and not the `others`, each an Origin, with the case's `referer`. */
#include "event_cases.h"

#include "picket/protocol/origin.h"

static bool matches_as_told(const struct event_case *c, struct str pattern, struct str key, bool wanted)
{
    bool good = true;
    for (struct json_iter it = json_iter(json_get(c->row, key)); json_next(&it);) {
        struct origin page;
        struct str origin;
        assert_true(json_str(it.value, c->arena, &origin));
        bool matches = origin_of(origin, case_text(c, STR("referer")), &page) && origin_matches(pattern, &page);
        if (matches != wanted)
            print_error("%.*s: <%.*s> %s\n", STR_ARG(c->name), STR_ARG(origin), wanted ? "does not match" : "matches");
        good &= matches == wanted;
    }
    return good;
}

static bool pattern_case(const struct event_case *c)
{
    AUTO_BUF struct buf out = {0};
    struct str kept = case_text(c, STR("kept"));
    buf_append_str(&out, STR("before"));
    int r = origin_pattern(case_text(c, STR("pattern")), &out);
    struct str got = str_drop(buf_str(&out), strlen("before"));
    bool good = case_same(c, "what is kept", got, kept);
    if ((r == 0) != (kept.n > 0))
        print_error("%.*s: answers %d\n", STR_ARG(c->name), r);
    return (r == 0) == (kept.n > 0) && good && matches_as_told(c, got, STR("pages"), true) && matches_as_told(c, got, STR("others"), false);
}

static void patterns_match_pages(void **state)
{
    (void)state;
    run_cases("origin.jsonl", pattern_case);
}

static void long_patterns_are_none(void **state)
{
    (void)state;
    AUTO_BUF struct buf text = {0}, out = {0};
    while (text.n < ORIGIN_PATTERN_MAX_BYTES)
        buf_append_char(&text, 'a');
    assert_int_equal(origin_pattern(buf_str(&text), &out), 0);
    buf_append_char(&text, 'a');
    assert_true(origin_pattern(buf_str(&text), &out) < 0);
    assert_int_equal(out.n, ORIGIN_PATTERN_MAX_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(patterns_match_pages), cmocka_unit_test(long_patterns_are_none)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
