/* test_outline.c: what of an event may be remembered (src/event/outline.c). Cases are in data/outline.jsonl: event, and outline. */
#include "byte_cases.h"

#include "picket/event/outline.h"

static bool outline_case(const struct byte_case *c)
{
    struct str event, wanted;
    AUTO_BUF struct buf out = {0};
    if (!json_text(json_get(c->row, STR("event")), c->arena, &event) || !json_text(json_get(c->row, STR("outline")), c->arena, &wanted)) {
        print_error("no event, or no outline\n");
        return false;
    }
    assert_int_equal(event_outline(event, &out), 0);
    return case_str(c, "outline", buf_str(&out), wanted);
}

static void outlines(void **state)
{
    (void)state;
    run_byte_cases("outline.jsonl", outline_case);
}

/* Nothing in depth that the grammar repeats ("values" in "values") may overflow its stack. */
static void deep(void **state)
{
    (void)state;
    AUTO_BUF struct buf text = {0}, out = {0};
    buf_append_str(&text, STR("{\"exception\":"));
    for (unsigned i = 0; i < 10000; i++)
        buf_append_str(&text, i % 2 ? STR("[") : STR("{\"values\":"));
    buf_append_str(&text, STR("1"));
    for (unsigned i = 10000; i > 0; i--)
        buf_append_str(&text, i % 2 ? STR("}") : STR("]"));
    buf_append_str(&text, STR("}"));
    assert_int_equal(event_outline(buf_str(&text), &out), 0);
    assert_true(out.n > 50 && out.n < 500);
    buf_clear(&out);
    assert_int_equal(event_outline(STR("{\"exception\":"), &out), -ERR_BAD_JSON);
    assert_int_equal(event_outline(STR("\"text\""), &out), 0);
    assert_true(str_eq(buf_str(&out), STR("\"\"")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(outlines), cmocka_unit_test(deep)};
    return cmocka_run_group_tests_name("outline", tests, NULL, NULL);
}
