/* Cron expressions (protocol §7.2) as sets; the cases are in data/crontab.jsonl. A case has the expression as `payload` and the sets as lists, of
 * which an absent one is full; `either_day` and `follows_clock` are false unless they stand there. `none`: it is no expression. When the sets
 * fire is tested where it is computed: tests/e2e/test_monitors.py. */
#include "event_cases.h"

#include "picket/event/crontab.h"

static uint64_t set_of(const struct event_case *c, struct str key, uint64_t full)
{
    const struct json *list = json_get(c->row, key);
    uint64_t bits = 0;
    if (json_type(list) == JSON_NONE)
        return full;
    for (struct json_iter it = json_iter(list); json_next(&it);) {
        int64_t n;
        assert_true(json_i64(it.value, &n) && n >= 0 && n < 60);
        bits |= UINT64_C(1) << n;
    }
    return bits;
}

static bool same_set(const struct event_case *c, const char *what, uint64_t got, uint64_t full)
{
    uint64_t wanted = set_of(c, str_from(what), full);
    if (got != wanted)
        print_error("%.*s: %s is %llx, not %llx\n", STR_ARG(c->name), what, (unsigned long long)got, (unsigned long long)wanted);
    return got == wanted;
}

static bool flag(const struct event_case *c, const char *name)
{
    bool b = false;
    (void)json_bool(json_get(c->row, str_from(name)), &b);
    return b;
}

static bool expression(const struct event_case *c)
{
    struct crontab got;
    bool is_one = crontab_parse(c->payload, &got);
    if (is_one == flag(c, "none")) {
        print_error("%.*s: %s\n", STR_ARG(c->name), is_one ? "taken" : "refused");
        return false;
    }
    if (!is_one)
        return true;
    bool good = same_set(c, "minutes", got.minutes, (UINT64_C(1) << 60) - 1);
    good &= same_set(c, "hours", got.hours, (1 << 24) - 1);
    good &= same_set(c, "days", got.days, UINT32_MAX - 1);
    good &= same_set(c, "months", got.months, (1 << 13) - 2);
    good &= same_set(c, "weekdays", got.weekdays, (1 << 7) - 1);
    good &= got.either_day == flag(c, "either_day") && got.follows_clock == flag(c, "follows_clock");
    if (json_get(c->row, STR("text")))
        good &= case_same(c, "text", got.text, case_text(c, STR("text")));
    return good;
}

static void expressions_are_read(void **state)
{
    (void)state;
    run_cases("crontab.jsonl", expression);
}

static void what_is_none_leaves_the_result_alone(void **state)
{
    (void)state;
    struct crontab got = {.minutes = 7};
    char text[CRONTAB_MAX + 16];
    assert_false(crontab_parse(STR("* * * *"), &got));
    memset(text, '0', sizeof text);
    memcpy(text + sizeof text - 8, " * * * *", 8);
    assert_false(crontab_parse(str_of(text, sizeof text), &got));
    assert_int_equal(got.minutes, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expressions_are_read),
        cmocka_unit_test(what_is_none_leaves_the_result_alone),
    };
    return cmocka_run_group_tests_name("crontab", tests, NULL, NULL);
}
