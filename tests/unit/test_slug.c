/* test_slug.c: slugs of projects (contract §1.11). A row of data/slug.jsonl is a name and its slug, or an error. */
#include "byte_cases.h"

#include "picket/api/slug.h"

static bool check_row(const struct byte_case *c)
{
    AUTO_BUF struct buf out = {0};
    struct str name = STR("");
    if (case_i64(c, STR("bytes"), 0))
        name = case_bytes(c, STR("text"));
    else
        (void)json_str(json_get(c->row, STR("text")), c->arena, &name); /* every row has it */
    return case_result(c, slug_make(&out, name)) && case_str(c, "slug", buf_str(&out), case_bytes(c, STR("slug")));
}

static void follows_the_table(void **state)
{
    (void)state;
    run_byte_cases("slug.jsonl", check_row);
}

static void appends(void **state)
{
    (void)state;
    AUTO_BUF struct buf out = {0};
    buf_append_str(&out, STR("before:"));
    assert_int_equal(slug_make(&out, STR("-A b-")), 0);
    assert_true(str_eq(buf_str(&out), STR("before:a-b")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(follows_the_table), cmocka_unit_test(appends)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
