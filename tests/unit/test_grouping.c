/* Title and grouping key, version 1: contract §3.3 with its "→ Ours" and appendix A; the cases are in data/grouping.jsonl. */
#include "event_cases.h"

static bool vector(const struct event_case *c)
{
    struct event_origin origin = {.received_us = 1};
    struct event_fields fields;
    struct str title, key;
    char hex[2 * EVENT_HASH_BYTES];
    if (event_grouping_key(c->payload, c->arena, &title, &key) != 0 || event_read(c->payload, &origin, c->arena, &fields) != 0) {
        print_error("%.*s: refused\n", STR_ARG(c->name));
        return false;
    }
    str_hex_encode(fields.grouping_hash, sizeof fields.grouping_hash, hex);
    bool good = case_same(c, "title", title, case_text(c, STR("title")));
    good &= case_same(c, "event_read's title", fields.title, title);
    good &= case_same(c, "key", key, case_text(c, STR("key")));
    good &= case_same(c, "hash", str_of(hex, sizeof hex), case_text(c, STR("sha256")));
    return good;
}

static void keys_are_as_in_the_vectors(void **state)
{
    (void)state;
    run_cases("grouping.jsonl", vector);
}

/* A megabyte of {{default}} must not become a hundred: the key is bounded by the payload and 64 default keys. */
static void many_defaults_do_not_blow_up(void **state)
{
    (void)state;
    enum { PARTS = 70000 };
    AUTO_BUF struct buf payload = {0};
    struct arena arena;
    struct str title, key;
    arena_init(&arena);
    buf_append_str(&payload, STR("{\"message\":\""));
    for (unsigned i = 0; i < EVENT_MAX_VALUE; i++)
        buf_append_char(&payload, 'm');
    buf_append_str(&payload, STR("\",\"fingerprint\":["));
    for (unsigned i = 0; i < PARTS; i++)
        buf_append_str(&payload, i ? STR(",\"{{default}}\"") : STR("\"{{default}}\""));
    buf_append_str(&payload, STR("]}"));
    assert_int_equal(event_grouping_key(buf_str(&payload), &arena, &title, &key), 0);
    assert_true(key.n < 2 * payload.n);
    assert_true(str_starts(key, title));
    assert_true(str_ends(key, STR(" \xE2\x8B\x84 {{default}}")));
    arena_done(&arena);
}

static void fingerprints_that_differ_far_behind_differ(void **state)
{
    (void)state;
    enum { PARTS = 5000 };
    struct str keys[2], title;
    struct arena arena;
    arena_init(&arena);
    for (unsigned n = 0; n < 2; n++) {
        AUTO_BUF struct buf payload = {0};
        buf_append_str(&payload, STR("{\"fingerprint\":["));
        for (unsigned i = 0; i < PARTS; i++)
            buf_append_str(&payload, STR("\"{{ default }}\","));
        buf_append_str(&payload, n ? STR("1]}") : STR("2]}"));
        assert_int_equal(event_grouping_key(buf_str(&payload), &arena, &title, &keys[n]), 0);
    }
    assert_false(str_eq(keys[0], keys[1]));
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_as_in_the_vectors),
        cmocka_unit_test(many_defaults_do_not_blow_up),
        cmocka_unit_test(fingerprints_that_differ_far_behind_differ),
    };
    return cmocka_run_group_tests_name("grouping", tests, NULL, NULL);
}
