/* What people filter by (event/facets.c): the table of cases, and the bounds. */
#include "event_cases.h"
#include "picket/base/ip.h"

struct seen {
    const struct event_case *c;
    bool good, called;
};

static void check_user(struct seen *s, const struct event_facets *f)
{
    struct str value = case_text(s->c, STR("user")), kind = str_cut(&value, ':');
    bool expected = kind.n > 0;
    if (f->has_user == expected && (!expected || f->user_hash == event_user_hash(kind, value)))
        return;
    print_error("%.*s: another user\n", STR_ARG(s->c->name));
    s->good = false;
}

static void check(void *arg, const struct event_fields *fields, const struct event_facets *f)
{
    struct seen *s = arg;
    const struct json *expect = json_get(s->c->row, STR("expect"));
    (void)fields;
    s->called = true;
    check_user(s, f);
    if (f->n_tags != json_count(expect)) {
        print_error("%.*s: %u tags\n", STR_ARG(s->c->name), f->n_tags);
        s->good = false;
    }
    for (unsigned i = 0; i < f->n_tags; i++) {
        struct str wanted = STR("<none>");
        (void)json_str(json_get(expect, f->tags[i].key), s->c->arena, &wanted);
        s->good &= case_same(s->c, arena_cstr(s->c->arena, f->tags[i].key), f->tags[i].value, wanted);
    }
}

static bool facets_case(const struct event_case *c)
{
    const struct event_origin origin = {.received_us = INT64_C(1795262400000000)};
    struct seen s = {c, true, false};
    struct event_fields fields;
    uint8_t address[16];
    bool has_address = ip_parse(case_text(c, STR("address")), address);
    if (event_read_facets(c->payload, &origin, has_address ? address : NULL, c->arena, check, &s, &fields) != 0)
        s.good = false;
    return s.good && s.called;
}

static void facets_are_read(void **state)
{
    (void)state;
    run_cases("facets.jsonl", facets_case);
}

static void count_bounds(void *arg, const struct event_fields *fields, const struct event_facets *f)
{
    (void)fields;
    assert_int_equal(f->n_tags, EVENT_MAX_TAGS);
    assert_int_equal(f->tags[1].value.n, 2 * EVENT_MAX_TAG_VALUE); /* code points of two bytes */
    *(bool *)arg = true;
}

static void tags_are_bounded(void **state)
{
    const struct event_origin origin = {.received_us = 1};
    AUTO_BUF struct buf text = {0};
    AUTO_ARENA struct arena a;
    struct event_fields fields;
    bool called = false;
    (void)state;
    arena_init(&a);
    buf_printf(&text, "{\"tags\":{\"long\":\"");
    for (unsigned i = 0; i < 300; i++)
        buf_append_str(&text, STR("é"));
    buf_append_str(&text, STR("\""));
    for (unsigned i = 0; i < 200; i++)
        buf_printf(&text, ",\"k%u\":\"v\"", i);
    buf_append_str(&text, STR("}}"));
    assert_int_equal(event_read_facets(buf_str(&text), &origin, NULL, &a, count_bounds, &called, &fields), 0);
    assert_true(called);
}

static void what_is_no_event_tells_nothing(void **state)
{
    const struct event_origin origin = {.received_us = 1};
    AUTO_ARENA struct arena a;
    struct event_fields fields;
    bool called = false;
    (void)state;
    arena_init(&a);
    assert_true(event_read_facets(STR("[]"), &origin, NULL, &a, count_bounds, &called, &fields) < 0);
    assert_true(event_read_facets(STR("{"), &origin, NULL, &a, count_bounds, &called, &fields) < 0);
    assert_false(called);
}

static void kinds_of_users_differ(void **state)
{
    (void)state;
    assert_int_not_equal(event_user_hash(STR("id"), STR("1")), event_user_hash(STR("username"), STR("1")));
    assert_int_equal(event_user_hash(STR("id"), STR("1")), event_user_hash(STR("id"), STR("1")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(facets_are_read),
        cmocka_unit_test(tags_are_bounded),
        cmocka_unit_test(what_is_no_event_tells_nothing),
        cmocka_unit_test(kinds_of_users_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
