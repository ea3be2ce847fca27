/* test_query.c: the language in which issues are searched. A row of data/query.jsonl is a query `q` and its conditions, each as "group field[key] op value"
 * with a ! behind the group of those that must not hold; or why it is none. It is noon of 2026-06-15. */
#include "byte_cases.h"

#include "picket/api/query.h"
#include "picket/base/clock.h"

#define NOON INT64_C(1781524800000000)

static void put_condition(struct buf *out, const struct query_condition *c)
{
    static const char *const ops[] = {[QUERY_EQ] = "=", [QUERY_LT] = "<", [QUERY_LE] = "<=", [QUERY_GT] = ">", [QUERY_GE] = ">="};
    char time[CLOCK_RFC3339_MAX];
    buf_printf(out, "%u%s %.*s", c->group, c->is_negated ? "!" : "", STR_ARG(c->field));
    if (c->key.n)
        buf_printf(out, "[%.*s]", STR_ARG(c->key));
    if (c->text.n)
        buf_printf(out, " = %.*s", STR_ARG(c->text));
    if (str_eq(c->field, STR("times_seen")) || str_eq(c->field, STR("users_seen")) || str_eq(c->field, STR("short_id")))
        buf_printf(out, " %s %lld", ops[c->op], (long long)c->number);
    if (c->time_us)
        buf_printf(out, " %s %.*s", ops[c->op], (int)clock_format(c->time_us, time), time);
}

static bool check_row(const struct byte_case *c)
{
    struct query got;
    struct str q = STR(""), wanted = STR(""), why = STR("");
    (void)json_str(json_get(c->row, STR("q")), c->arena, &q); /* every row has it */
    (void)json_str(json_get(c->row, STR("why")), c->arena, &wanted);
    int r = query_parse(q, NOON, c->arena, &got, &why);
    if (r < 0 || wanted.n)
        return case_int(c, "result", r, wanted.n ? -ERR_INVALID : 0) && case_str(c, "why", why, wanted);
    const struct json *conditions = json_get(c->row, STR("conditions"));
    bool good = case_int(c, "number of conditions", got.n, (int64_t)json_count(conditions));
    for (unsigned i = 0; i < got.n && good; i++) {
        AUTO_BUF struct buf text = {0};
        struct str line = STR("");
        (void)json_str(json_at(conditions, i), c->arena, &line);
        put_condition(&text, &got.conditions[i]);
        good = case_str(c, "condition", buf_str(&text), line);
    }
    return good;
}

static void follows_the_table(void **state)
{
    (void)state;
    run_byte_cases("query.jsonl", check_row);
}

static int parse(struct str text, struct query *ret, struct arena *a, struct str *ret_why)
{
    return query_parse(text, NOON, a, ret, ret_why);
}

static void has_bounds(void **state)
{
    (void)state;
    AUTO_ARENA struct arena arena;
    struct query query;
    struct str why = STR("");
    char text[QUERY_MAX_BYTES + 1];
    arena_init(&arena);
    memset(text, 'a', sizeof text);
    assert_int_equal(parse(str_of(text, QUERY_MAX_BYTES), &query, &arena, &why), 0);
    assert_int_equal(parse(str_of(text, QUERY_MAX_BYTES + 1), &query, &arena, &why), -ERR_INVALID);
    assert_true(str_eq(why, STR("q has at most 4096 bytes")));
    for (size_t i = 1; i < sizeof text; i += 2)
        text[i] = ' ';
    assert_int_equal(parse(str_of(text, (size_t)2 * QUERY_MAX_CONDITIONS), &query, &arena, &why), 0);
    assert_int_equal(query.n, QUERY_MAX_CONDITIONS);
    assert_int_equal(query_add_tag(&query, STR("release"), STR("1"), &why), -ERR_INVALID);
    assert_int_equal(parse(str_of(text, (size_t)2 * QUERY_MAX_CONDITIONS + 1), &query, &arena, &why), -ERR_INVALID);
    assert_true(str_eq(why, STR("q, column 101: a query has at most 50 terms")));
    assert_int_equal(parse(str_of("a\0b", 3), &query, &arena, &why), -ERR_INVALID);
    assert_int_equal(parse(STR("a\xff"), &query, &arena, &why), -ERR_INVALID);
    assert_true(str_eq(why, STR("q must be UTF-8 without U+0000")));
}

/* Whatever a query is made of, it takes a small multiple of its length. */
static void memory_is_bounded(void **state)
{
    (void)state;
    static const char *const pieces[] = {"\"\" ", "!\"\" ", "a:[", "level:[\"\",", "tag.a:* ", "\\", "x:", "is:"};
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        AUTO_ARENA struct arena arena;
        AUTO_BUF struct buf text = {0};
        struct query query;
        struct str why;
        arena_init(&arena);
        while (text.n + strlen(pieces[i]) <= QUERY_MAX_BYTES)
            buf_append_str(&text, str_from(pieces[i]));
        (void)parse(buf_str(&text), &query, &arena, &why); /* either way */
        assert_true(arena.bytes < (size_t)4 * QUERY_MAX_CONDITIONS * (QUERY_MAX_BYTES + 16));
    }
}

static void more_can_be_added(void **state)
{
    (void)state;
    AUTO_ARENA struct arena arena;
    struct query query;
    struct str why, fields[] = {STR("open"), STR("muted")};
    arena_init(&arena);
    assert_int_equal(parse(STR("level:error"), &query, &arena, &why), 0);
    assert_false(query_tells_state(&query));
    assert_int_equal(query_add_tag(&query, STR("release"), STR("1%*"), &why), 0);
    assert_int_equal(query_add_tag(&query, STR("release"), STR("\xff"), &why), -ERR_INVALID);
    assert_int_equal(query_add_any(&query, fields, 2, 7), 0);
    assert_int_equal(query.n, 4);
    assert_true(str_eq(query.conditions[1].text, STR("1%*")) && str_eq(query.conditions[1].field, STR("tag_is")));
    assert_int_equal(query.conditions[1].group, 1);
    assert_int_equal(query.conditions[2].group, 2);
    assert_int_equal(query.conditions[3].group, 2);
    assert_int_equal(query.conditions[3].number, 7);
    assert_true(query_tells_state(&query));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(follows_the_table), cmocka_unit_test(has_bounds),
                                       cmocka_unit_test(memory_is_bounded), cmocka_unit_test(more_can_be_added)};
    return cmocka_run_group_tests_name("query", tests, NULL, NULL);
}
