/* fuzz_json.c: whatever parses must be written as well-formed UTF-8 that parses again and is written the same the second time (W1 in
 * src/json/write.c); every accessor must stand every value. */
#include "fuzz.h"

#include "picket/base/error.h"
#include "picket/json/json.h"

static void visit(const struct json *v, struct arena *a)
{
    struct str s;
    double f;
    int64_t i;
    bool b;
    if (json_str(v, a, &s))
        assert(str_is_utf8(s) && str_find(s, '\0') == s.n);
    if (json_text(v, a, &s))
        assert(str_is_utf8(s) && str_find(s, '\0') == s.n);
    if (json_i64(v, &i))
        assert(json_f64(v, &f));
    if (json_f64(v, &f) || json_bool(v, &b))
        assert(json_count(v) == 0 && !json_get(v, STR("a")) && !json_at(v, 0));
}

static void write_value(const struct json *v, struct buf *out)
{
    struct json_writer w;
    json_writer_init(&w, out);
    json_put_value(&w, v);
    assert(str_is_utf8(buf_str(out)) && out->n > 0);
}

static void check_document(const struct json_doc *doc)
{
    struct arena a;
    arena_init(&a);
    const struct json *root = json_root(doc);
    visit(root, &a);
    for (struct json_iter it = json_iter(root); json_next(&it);) {
        struct str key;
        visit(it.value, &a);
        if (it.key && json_str_raw(it.key, &key))
            assert(json_get(root, key) != NULL);
    }
    AUTO_BUF struct buf first = {0}, second = {0};
    write_value(root, &first);
    AUTO_JSON struct json_doc *again = NULL;
    int r = json_parse(buf_str(&first), &again, NULL);
    assert(r == 0);
    write_value(json_root(again), &second);
    assert(str_eq(buf_str(&first), buf_str(&second)));
    arena_done(&a);
}

/* What is counted without being read is what is there, but for keys that are spelled with escapes. */
static void check_skim(struct str text, const struct json_doc *whole)
{
    static const struct str keys[] = {STR("a"), STR("spans"), STR("")};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        size_t n = json_skim_count(text, keys[i]);
        const struct json *v = whole ? json_get(json_root(whole), keys[i]) : NULL;
        assert(n <= text.n);
        if (whole && str_find(text, '\\') == text.n)
            assert(n == (json_type(v) == JSON_ARRAY ? json_count(v) : 0));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    AUTO_JSON struct json_doc *whole = NULL, *prefix = NULL;
    size_t at = 0, used = 0;
    int r = json_parse(text, &whole, &at);
    assert(r == 0 || (r == -ERR_BAD_JSON && at <= size));
    check_skim(text, r == 0 ? whole : NULL);
    int p = json_parse_prefix(text, &prefix, &used);
    assert(p == 0 ? used > 0 && used <= size : p == -ERR_BAD_JSON);
    if (r == 0) {
        assert(p == 0 && str_trim(str_drop(text, used)).n == 0);
        check_document(whole);
    } else if (p == 0) {
        check_document(prefix);
    }
    return 0;
}
