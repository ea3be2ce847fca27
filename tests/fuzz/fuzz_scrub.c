/* fuzz_scrub.c: whatever the payload, with IP addresses and without: what is scrubbed is still JSON, means an event exactly if it did before,
 * and soon has nothing left to take. Once is enough but for texts in which one find is part of another ("fe80::x@y.org"). The same for the
 * bytes as a text. */
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

enum { PASSES = 4 };

static void check_event(struct str payload, const struct scrub_rules *rules)
{
    struct buf texts[PASSES] = {0};
    int r = 1;
    for (unsigned i = 0; i < PASSES && r == 1; i++) {
        struct str before = i ? buf_str(&texts[i - 1]) : payload;
        r = scrub_event(before, rules, &texts[i]);
        assert((r == 1) == (texts[i].n > 0) && (r >= 0 || (i == 0 && r == -ERR_BAD_JSON)));
        assert((r == -ERR_BAD_JSON) == (read_event(before) == -ERR_BAD_JSON));
        assert(r != 1 || read_event(before) == read_event(buf_str(&texts[i])));
    }
    assert(r != 1);
    for (unsigned i = 0; i < PASSES; i++)
        buf_done(&texts[i]);
}

static void check_text(struct str text, const struct scrub_rules *rules)
{
    struct buf texts[PASSES] = {0};
    bool more = true;
    for (unsigned i = 0; i < PASSES && more; i++)
        more = scrub_text(i ? buf_str(&texts[i - 1]) : text, rules, &texts[i]);
    assert(!more);
    for (unsigned i = 0; i < PASSES; i++)
        buf_done(&texts[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct str extra[] = {STR("salary"), STR("geburts ort"), STR("straße")}, safe[] = {STR("auth_mode")};
    const struct scrub_rules plain = SCRUB_DEFAULTS, all = {.enabled = true,
                                                            .drops_ip = true,
                                                            .extra_names = extra,
                                                            .n_extra_names = ARRAY_LEN(extra),
                                                            .safe_names = safe,
                                                            .n_safe_names = 1};
    struct str text = {(const char *)data, size};
    check_event(text, &plain);
    check_event(text, &all);
    check_text(text, &plain);
    check_text(text, &all);
    return 0;
}
