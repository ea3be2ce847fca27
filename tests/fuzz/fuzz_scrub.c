/* fuzz_scrub.c: whatever the payload, with IP addresses and without: what is scrubbed is still JSON, means an event exactly if it did before,
 * and has nothing left to take; but for IP addresses, which may come to light when what they were part of has gone ("fe80::x@y.org"). The same
 * for the bytes as a text. */
#include "fuzz.h"

#include "picket/base/error.h"
#include "picket/event/event.h"
#include "picket/event/scrub.h"

static int read_event(struct str payload)
{
    struct event_origin origin = {.received_us = INT64_C(1795262400000000)};
    struct event_fields fields;
    struct arena arena;
    arena_init(&arena);
    int r = event_read(payload, &origin, &arena, &fields);
    arena_done(&arena);
    return r;
}

static void check_event(struct str payload, const struct scrub_rules *rules)
{
    AUTO_BUF struct buf out = {0}, again = {0};
    int r = scrub_event(payload, rules, &out);
    assert((r == 1 && out.n > 0) || (out.n == 0 && (r == 0 || r == -ERR_BAD_JSON)));
    assert((r == -ERR_BAD_JSON) == (read_event(payload) == -ERR_BAD_JSON));
    if (r != 1)
        return;
    assert(read_event(payload) == read_event(buf_str(&out)));
    r = scrub_event(buf_str(&out), rules, &again);
    assert(r == 0 || (r == 1 && rules->drops_ip));
}

static void check_text(struct str text, const struct scrub_rules *rules)
{
    AUTO_BUF struct buf out = {0}, again = {0};
    if (scrub_text(text, rules, &out)) {
        bool more = scrub_text(buf_str(&out), rules, &again);
        assert(!more || rules->drops_ip);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct str extra[] = {STR("salary")}, safe[] = {STR("auth_mode")};
    const struct scrub_rules plain = SCRUB_DEFAULTS, all = {.enabled = true,
                                                            .drops_ip = true,
                                                            .extra_names = extra,
                                                            .n_extra_names = 1,
                                                            .safe_names = safe,
                                                            .n_safe_names = 1};
    struct str text = {(const char *)data, size};
    check_event(text, &plain);
    check_event(text, &all);
    check_text(text, &plain);
    check_text(text, &all);
    return 0;
}
