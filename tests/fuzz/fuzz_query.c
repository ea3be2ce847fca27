/* fuzz_query.c: searches for issues. What is taken stays within its bounds: groups ascend, patterns are sound, fields are ours. What is refused says where. */
#include "fuzz.h"

#include "picket/api/query.h"
#include "picket/base/clock.h"
#include "picket/base/error.h"

/* No lone backslash at the end, which ILIKE refuses. */
static bool is_pattern(struct str s)
{
    size_t i = 0;
    while (i < s.n)
        i += s.p[i] == '\\' ? 2 : 1;
    return i == s.n;
}

static void check_condition(const struct query_condition *c, unsigned group_before)
{
    assert(c->group == group_before || c->group == group_before + 1);
    assert(c->field.n > 0 && str_find(c->field, ' ') == c->field.n);
    assert(c->op <= QUERY_GE && (c->number >= 0 || str_eq(c->field, STR("user"))));
    assert(c->time_us >= CLOCK_MIN_US && c->time_us <= CLOCK_MAX_US);
    assert(str_is_utf8(c->text) && str_is_utf8(c->key) && str_find(c->text, '\0') == c->text.n);
    if (!str_eq(c->field, STR("tag_is")) && !str_eq(c->field, STR("short_id")))
        assert(is_pattern(c->text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA struct arena arena;
    struct query query;
    struct str why = STR("");
    arena_init(&arena);
    int r = query_parse(str_of((const char *)data, size), INT64_C(1781524800000000), &arena, &query, &why);
    assert(r == 0 || (r == -ERR_INVALID && str_starts(why, STR("q")) && str_is_utf8(why)));
    assert(arena.bytes < (size_t)4 * QUERY_MAX_CONDITIONS * (QUERY_MAX_BYTES + 16));
    for (unsigned i = 0; r == 0 && i < query.n; i++)
        check_condition(&query.conditions[i], i ? query.conditions[i - 1].group : 0);
    return 0;
}
