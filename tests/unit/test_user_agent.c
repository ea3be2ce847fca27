/* User-Agent headers and client hints as browsers, programs and crawlers send them (protocol §5.9); the cases are in data/user_agent.jsonl.
 * A case has an `agent` and perhaps `hints`; `browser` and `os` are [name, version], `device` is [family, model, brand], null where nothing is
 * known. */
#include "event_cases.h"

#include "event/user_agent.h"

static struct str hint(const struct event_case *c, struct str name)
{
    struct str s = STR("");
    (void)json_str(json_get(json_get(c->row, STR("hints")), name), c->arena, &s); /* absent: "" */
    return s;
}

static bool same_part(const struct event_case *c, const char *what, struct str key, size_t index, struct str got)
{
    struct str wanted = STR("");
    (void)json_str(json_at(json_get(c->row, key), index), c->arena, &wanted); /* null: nothing is known */
    return case_same(c, what, got, wanted);
}

static bool agent_case(const struct event_case *c)
{
    struct user_agent_hints hints = {.brands = hint(c, STR("brands")),
                                     .platform = hint(c, STR("platform")),
                                     .platform_version = hint(c, STR("platform_version")),
                                     .model = hint(c, STR("model"))};
    struct user_agent ua;
    bool good = true;
    user_agent_read(case_text(c, STR("agent")), &hints, c->arena, &ua);
    good &= same_part(c, "browser", STR("browser"), 0, ua.browser.name);
    good &= same_part(c, "browser's version", STR("browser"), 1, ua.browser.version);
    good &= same_part(c, "os", STR("os"), 0, ua.os.name);
    good &= same_part(c, "os' version", STR("os"), 1, ua.os.version);
    good &= same_part(c, "family", STR("device"), 0, ua.device_family);
    good &= same_part(c, "model", STR("device"), 1, ua.device_model);
    good &= same_part(c, "brand", STR("device"), 2, ua.device_brand);
    return good;
}

static void agents_are_known(void **state)
{
    (void)state;
    run_cases("user_agent.jsonl", agent_case);
}

/* What a client can write without end is neither kept nor searched without end. */
static void long_texts_are_bounded(void **state)
{
    (void)state;
    enum { BYTES = 1 << 20 };
    struct user_agent_hints hints;
    struct user_agent ua;
    struct arena arena;
    arena_init(&arena);
    char *text = arena_alloc(&arena, BYTES);
    memset(text, '9', BYTES);
    memcpy(text, "Chrome/1.", 9);
    hints = (struct user_agent_hints){.brands = str_of(text, BYTES), .platform = str_of(text, BYTES), .model = str_of(text, BYTES)};
    user_agent_read(str_of(text, BYTES), &hints, &arena, &ua);
    assert_true(str_eq(ua.browser.name, STR("Chrome")));
    assert_true(ua.browser.version.n <= USER_AGENT_TEXT_MAX);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agents_are_known),
        cmocka_unit_test(long_texts_are_bounded),
    };
    return cmocka_run_group_tests_name("user_agent", tests, NULL, NULL);
}
