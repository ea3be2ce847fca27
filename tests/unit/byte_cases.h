/* byte_cases.h: tables of cases in tests/unit/data whose inputs are bytes rather than text: JSON lines, one case each. Strings that are
 * read with case_bytes may hold any byte as %XX (so a percent sign is %25 and a plus sign %2B). Every row has a "name". */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "picket/base/error.h"
#include "picket/json/json.h"

struct byte_case {
    const struct json *row;
    struct arena *arena; /* ends with the case */
};

typedef bool byte_case_fn(const struct byte_case *c); /* false: the case failed and has said why */

static inline struct str case_bytes(const struct byte_case *c, struct str key)
{
    struct str s;
    if (!json_str(json_get(c->row, key), c->arena, &s))
        return STR("");
    char *p = arena_alloc(c->arena, s.n + 1);
    return str_of(p, str_percent_decode(s, p));
}

static inline int64_t case_i64(const struct byte_case *c, struct str key, int64_t absent)
{
    int64_t n = absent;
    (void)json_i64(json_get(c->row, key), &n); /* absent: the default stays */
    return n;
}

static inline bool case_str(const struct byte_case *c, const char *what, struct str got, struct str wanted)
{
    if (str_eq(got, wanted))
        return true;
    print_error("%.*s: %s is <%.*s>, not <%.*s>\n", STR_ARG(case_bytes(c, STR("name"))), what, STR_ARG(got), STR_ARG(wanted));
    return false;
}

static inline bool case_int(const struct byte_case *c, const char *what, int64_t got, int64_t wanted)
{
    if (got == wanted)
        return true;
    print_error("%.*s: %s is %lld, not %lld\n", STR_ARG(case_bytes(c, STR("name"))), what, (long long)got, (long long)wanted);
    return false;
}

/* "error" in the row names the ERR_ that is expected; absent: success. True when it came, or when `r` is no failure and none is wanted. */
static inline bool case_result(const struct byte_case *c, int r)
{
    return case_str(c, "result", r < 0 ? str_from(err_name(r)) : STR(""), case_bytes(c, STR("error")));
}

static inline void read_test_data(const char *name, struct buf *ret)
{
    char path[4096], chunk[4096];
    size_t n;
    assert_true(snprintf(path, sizeof path, "%s/%s", TEST_DATA, name) < (int)sizeof path);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
        buf_append(ret, chunk, n);
    assert_int_equal(ferror(f), 0);
    assert_int_equal(fclose(f), 0);
}

static inline void run_byte_cases(const char *file, byte_case_fn *run)
{
    AUTO_BUF struct buf text = {0};
    unsigned passed = 0, failed = 0;
    read_test_data(file, &text);
    for (struct str rest = buf_str(&text); rest.p;) {
        AUTO_JSON struct json_doc *doc = NULL;
        struct str line = str_cut(&rest, '\n');
        struct arena arena;
        if (line.n == 0)
            continue;
        assert_int_equal(json_parse(line, &doc, NULL), 0);
        arena_init(&arena);
        *(run(&(struct byte_case){json_root(doc), &arena}) ? &passed : &failed) += 1;
        arena_done(&arena);
    }
    assert_int_equal(failed, 0);
    assert_true(passed > 0);
}
