/* fuzz_user_agent.c: the first line is the User-Agent, the next ones are brands, platform, its version, model. Whatever they are, what comes out
 * is bounded well-formed text without control characters. */
#include "fuzz.h"

#include "event/user_agent.h"

static void check_text(struct str s)
{
    assert(s.n <= USER_AGENT_TEXT_MAX && str_is_utf8(s));
    for (size_t i = 0; i < s.n; i++)
        assert((unsigned char)s.p[i] >= ' ');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = {(const char *)data, size}, header = str_cut(&rest, '\n');
    struct user_agent_hints hints = {.brands = STR("")};
    struct user_agent ua;
    struct arena arena;
    hints.brands = str_cut(&rest, '\n');
    hints.platform = str_cut(&rest, '\n');
    hints.platform_version = str_cut(&rest, '\n');
    hints.model = rest;
    arena_init(&arena);
    user_agent_read(header, &hints, &arena, &ua);
    check_text(ua.browser.name);
    check_text(ua.browser.version);
    check_text(ua.os.name);
    check_text(ua.os.version);
    check_text(ua.device_family);
    check_text(ua.device_model);
    check_text(ua.device_brand);
    assert(ua.device_model.n == 0 || ua.device_family.n > 0);
    assert(ua.browser.name.n > 0 || ua.browser.version.n == 0);
    arena_done(&arena);
    return 0;
}
