/* Whose data a payload holds (protocol §5.7, §7.1, §7.3, §7.4); the cases are in data/person.jsonl: a `user` as somebody asks for it, and whether the
 * payload of that `kind`, from that `address`, is theirs. */
#include "event_cases.h"

#include "picket/event/person.h"

static int look(const struct event_case *c, const struct person *persons, size_t n)
{
    struct str kind = case_text(c, STR("kind"));
    if (str_eq(kind, STR("session")))
        return person_in_session(persons, n, c->payload);
    if (str_eq(kind, STR("feedback")))
        return person_in_feedback(persons, n, c->payload, case_text(c, STR("address")));
    if (str_eq(kind, STR("header")))
        return person_in_header(persons, n, c->payload);
    assert_true(str_eq(kind, STR("event")));
    return person_in_event(persons, n, c->payload, case_text(c, STR("address")));
}

static bool person_case(const struct event_case *c)
{
    struct person persons[2] = {{PERSON_ID, STR("nobody")}};
    bool found;
    assert_true(json_bool(json_get(c->row, STR("found")), &found));
    assert_true(person_read(case_text(c, STR("user")), &persons[1]));
    int got = look(c, persons, 2);
    if (got == (found ? 1 : -1))
        return true;
    print_error("%.*s: %d\n", STR_ARG(c->name), got);
    return false;
}

static void persons_are_found(void **state)
{
    (void)state;
    run_cases("person.jsonl", person_case);
}

static void keys_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum person_field field;
        const char *key; /* NULL: refused */
    } cases[] = {
        {"42", PERSON_ANY, "42"},
        {" id: 42 ", PERSON_ID, "42"},
        {"email:a@b", PERSON_EMAIL, "a@b"},
        {"username:x:y", PERSON_USERNAME, "x:y"},
        {"ip:2001:db8::1", PERSON_ADDRESS, "2001:db8::1"},
        {"ip:2001:db8::g", PERSON_ADDRESS, NULL},
        {"ip:", PERSON_ADDRESS, NULL},
        {"any:x", PERSON_ANY, "any:x"},
        {"2001:db8::1", PERSON_ANY, "2001:db8::1"},
        {"", PERSON_ANY, NULL},
        {"  ", PERSON_ANY, NULL},
        {"id:", PERSON_ID, NULL},
        {"\xff", PERSON_ANY, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct person p;
        assert_int_equal(person_read(str_from(cases[i].text), &p), cases[i].key != NULL);
        if (!cases[i].key)
            continue;
        assert_int_equal(p.field, cases[i].field);
        assert_true(str_eq(p.key, str_from(cases[i].key)));
    }
    char text[PERSON_MAX_KEY + 1];
    struct person p;
    memset(text, 'x', sizeof text);
    assert_true(person_read(str_of(text, PERSON_MAX_KEY), &p));
    assert_false(person_read(str_of(text, PERSON_MAX_KEY + 1), &p));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(persons_are_found),
        cmocka_unit_test(keys_are_read),
    };
    return cmocka_run_group_tests_name("person", tests, NULL, NULL);
}
