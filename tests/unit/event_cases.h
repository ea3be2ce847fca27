/* event_cases.h: runs the tables of cases in tests/unit/data: JSON lines, one case each, with
 *   name      what the case shows, with the section of the specification;
 *   event     the payload as JSON, or
 *   payload   the payload as text, where its spelling matters (duplicate keys, odd escapes). */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "picket/event/event.h"
#include "picket/event/scrub.h"

struct event_case {
    struct str name, payload;
    const struct json *row;
    struct arena *arena; /* ends with the case */
};

/* True when the case passed; otherwise it has said what was wrong. */
typedef bool event_case_fn(const struct event_case *c);

static inline struct str case_text(const struct event_case *c, struct str key)
{
    struct str s = STR("");
    (void)json_text(json_get(c->row, key), c->arena, &s); /* absent: "" */
    return s;
}

static inline bool case_same(const struct event_case *c, const char *what, struct str got, struct str wanted)
{
    if (str_eq(got, wanted))
        return true;
    print_error("%.*s: %s is <%.*s>, not <%.*s>\n", STR_ARG(c->name), what, STR_ARG(got), STR_ARG(wanted));
    return false;
}

static inline const struct str *case_names(const struct event_case *c, const struct json *list, size_t *ret_n)
{
    struct str *at = arena_array(c->arena, struct str, json_count(list) + 1);
    *ret_n = 0;
    for (struct json_iter it = json_iter(list); json_next(&it);)
        assert_true(json_str(it.value, c->arena, &at[(*ret_n)++]));
    return at;
}

/* `rules` of a case: {off, drops_ip, extra: [names], safe: [names]}. */
static inline struct scrub_rules case_rules(const struct event_case *c)
{
    struct scrub_rules rules = SCRUB_DEFAULTS;
    const struct json *row = json_get(c->row, STR("rules"));
    rules.enabled = !json_get(row, STR("off"));
    rules.drops_ip = json_get(row, STR("drops_ip")) != NULL;
    rules.extra_names = case_names(c, json_get(row, STR("extra")), &rules.n_extra_names);
    rules.safe_names = case_names(c, json_get(row, STR("safe")), &rules.n_safe_names);
    return rules;
}

static inline void case_file(const char *name, struct buf *ret)
{
    char path[4096];
    char chunk[4096];
    size_t n;
    assert_true(snprintf(path, sizeof path, "%s/%s", TEST_DATA, name) < (int)sizeof path);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
        buf_append(ret, chunk, n);
    assert_int_equal(ferror(f), 0);
    assert_int_equal(fclose(f), 0);
}

static inline void run_cases(const char *file, event_case_fn *run)
{
    AUTO_BUF struct buf text = {0};
    unsigned passed = 0, failed = 0;
    case_file(file, &text);
    for (struct str rest = buf_str(&text); rest.p;) {
        AUTO_JSON struct json_doc *doc = NULL;
        struct str line = str_cut(&rest, '\n');
        struct arena arena;
        struct event_case c;
        if (line.n == 0)
            continue;
        assert_int_equal(json_parse(line, &doc, NULL), 0);
        arena_init(&arena);
        c = (struct event_case){.row = json_root(doc), .arena = &arena};
        c.name = case_text(&c, STR("name"));
        c.payload = case_text(&c, json_get(c.row, STR("payload")) ? STR("payload") : STR("event"));
        if (run(&c))
            passed++;
        else
            failed++;
        arena_done(&arena);
    }
    assert_int_equal(failed, 0);
    assert_true(passed > 0);
}
