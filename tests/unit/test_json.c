/* test_json.c: reading, looking into and writing JSON. The table data/json.jsonl holds a text ("in") and either what comes out when its
 * document is written again ("out") or the offset ("at") of the error. */
#include "byte_cases.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

static struct json_doc *parsed(struct str text)
{
    struct json_doc *doc = NULL;
    assert_int_equal(json_parse(text, &doc, NULL), 0);
    return doc;
}

static void write_value(const struct json *v, struct buf *out)
{
    struct json_writer w;
    json_writer_init(&w, out);
    json_put_value(&w, v);
}

static void assert_text(struct str got, struct str wanted)
{
    if (!str_eq(got, wanted))
        fail_msg("<%.*s> is not <%.*s>", STR_ARG(got), STR_ARG(wanted));
}

/* ---- the table */

static bool check_row(const struct byte_case *c)
{
    AUTO_JSON struct json_doc *doc = NULL;
    size_t at = SIZE_MAX;
    struct str in = case_bytes(c, STR("in"));
    int r = json_parse(in, &doc, &at);
    if (!case_result(c, r))
        return false;
    if (r < 0)
        return case_int(c, "error offset", (int64_t)at, case_i64(c, STR("at"), -1));
    AUTO_BUF struct buf out = {0};
    write_value(json_root(doc), &out);
    if (!case_str(c, "text", buf_str(&out), case_bytes(c, STR("out"))))
        return false;
    return case_int(c, "well-formed", str_is_utf8(buf_str(&out)), true);
}

static void reads_and_writes_the_table(void **state)
{
    (void)state;
    run_byte_cases("json.jsonl", check_row);
}

/* The same texts with a line behind them: whatever parses as a whole is found as a prefix (protocol §2.1 rule 2). */
static bool check_prefix_row(const struct byte_case *c)
{
    AUTO_JSON struct json_doc *doc = NULL;
    AUTO_BUF struct buf text = {0}, out = {0};
    size_t used = 0;
    if (case_bytes(c, STR("error")).n)
        return true;
    buf_append_str(&text, str_trim(case_bytes(c, STR("in"))));
    size_t length = text.n;
    buf_append_str(&text, STR("\n{\"type\":\"event\",\"length\":3}\n\xff\xfe\xfd"));
    if (!case_int(c, "result", json_parse_prefix(buf_str(&text), &doc, &used), 0) || !case_int(c, "used", (int64_t)used, (int64_t)length))
        return false;
    write_value(json_root(doc), &out);
    return case_str(c, "text", buf_str(&out), case_bytes(c, STR("out")));
}

static void finds_the_table_as_prefixes(void **state)
{
    (void)state;
    run_byte_cases("json.jsonl", check_prefix_row);
}

static void prefix_ends_where_the_value_ends(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int used; /* -1: an error */
    } cases[] = {
        {"{}", 2},    {" \r\n\t{}x", 6},  {"{\n\"a\":\n1}\n", 9}, {"\"a\\\"b\"c", 6},
        {"12 13", 2}, {"true\nfalse", 4}, {"[1][2]", 3},          {"{\"a\":\"}\"}rest", 9},
        {"-1,2", 2},  {"{}{}", 2},        {"nullx", -1},          {"", -1},
        {" ", -1},    {"{", -1},          {"{\"a\":\"}", -1},     {"}", -1},
        {",", -1},    {"\"abc", -1},      {"\"abc\\\"", -1},      {"[}", -1},
        {"[{]}", -1}, {"{\"a\" 1}", -1},  {"\"\\", -1},           {"\\", -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_JSON struct json_doc *doc = NULL;
        size_t used = 0;
        int r = json_parse_prefix(str_from(cases[i].text), &doc, &used);
        if (cases[i].used < 0 ? r != -ERR_BAD_JSON : r != 0 || used != (size_t)cases[i].used)
            fail_msg("%s: result %d, used %zu", cases[i].text, r, used);
    }
}

static void elements_are_counted_without_reading(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n;
    } cases[] = {
        {"{\"a\":[1,2,3]}", 3},
        {"{\"a\":[]}", 0},
        {" {\n\"b\" : [1] ,\t\"a\" : [ {} , [1,2] , \"x,]\" , null ] }", 4},
        {"\xEF\xBB\xBF{\"a\":[1]}", 1},
        {"{\"b\":{\"a\":[1,2]},\"c\":\"\\\"a\\\":[1,2]\",\"a\":[\"\\\\\",\"\\\"]\"]}", 2},
        {"{\"a\":[1,2],\"a\":[1]}", 1},  /* the last counts */
        {"{\"a\":[1,2],\"a\":null}", 0}, /* and is no array */
        {"{\"a\":{\"x\":1,\"y\":2}}", 0},
        {"{\"ab\":[1],\"\":[1]}", 0},
        {"[{\"a\":[1]}]", 0},
        {"\"a\":[1]", 0},
        {"", 0},
        {"{", 0},
        {"{\"a\"", 0},
        {"{\"a\":", 0},
        {"{\"a\":[", 0},
        {"{\"a\":[1,2", 2},
        {"{\"a\":[1,{\"b\":2", 1}, /* cut short: what was there */
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (json_skim_count(str_from(cases[i].text), STR("a")) != cases[i].n)
            fail_msg("%s: %zu", cases[i].text, json_skim_count(str_from(cases[i].text), STR("a")));
}

/* At every place where a string may end: strings are looked through by words. */
static void strings_of_any_length_end_where_they_end(void **state)
{
    (void)state;
    for (size_t n = 0; n < 40; n++) {
        for (size_t quote = 0; quote <= n; quote++) { /* n: none */
            AUTO_BUF struct buf text = {0};
            buf_append_str(&text, STR("{\"b\":\""));
            for (size_t i = 0; i < n; i++)
                buf_append_str(&text, i == quote ? STR("\\\"") : STR("x"));
            buf_append_str(&text, STR("\",\"a\":[1,2]}"));
            AUTO_FREE char *exact = malloc(text.n); /* a sanitizer sees what is read beyond */
            assert_non_null(exact);
            memcpy(exact, text.p, text.n);
            assert_int_equal(json_skim_count(str_of(exact, text.n), STR("a")), 2);
        }
    }
}

/* A thousand headers before a large payload must not cost a thousand copies of it. */
static void prefix_does_not_read_what_follows(void **state)
{
    (void)state;
    AUTO_BUF struct buf text = {0};
    buf_append_str(&text, STR("{\"type\":\"attachment\"}\n"));
    size_t header = text.n - 1;
    buf_reserve(&text, 64 << 20);
    memset(text.p + text.n, 'x', 64 << 20);
    text.n += 64 << 20;
    for (int i = 0; i < 1000; i++) { /* 64 GB if each copied the rest: the test would time out */
        AUTO_JSON struct json_doc *doc = NULL;
        size_t used = 0;
        assert_int_equal(json_parse_prefix(buf_str(&text), &doc, &used), 0);
        assert_int_equal(used, header);
    }
}

/* ---- depth */

static void nest(struct buf *text, size_t depth, bool objects)
{
    for (size_t i = 0; i < depth; i++)
        buf_append_str(text, objects && i % 2 ? STR("{\"a\":") : STR("["));
    buf_append_char(text, '1');
    for (size_t i = depth; i-- > 0;)
        buf_append_char(text, objects && i % 2 ? '}' : ']');
}

static void *read_and_write_deep(void *objects)
{
    AUTO_BUF struct buf text = {0}, out = {0};
    nest(&text, 100000, objects != NULL);
    AUTO_JSON struct json_doc *doc = parsed(buf_str(&text)), *prefix = NULL;
    size_t used = 0;
    write_value(json_root(doc), &out);
    assert_true(str_eq(buf_str(&out), buf_str(&text)));
    assert_int_equal(json_parse_prefix(buf_str(&text), &prefix, &used), 0);
    assert_int_equal(used, text.n);
    return NULL;
}

/* W3: on a stack that a hundred thousand calls would overflow many times over. */
static void deep_nesting_needs_no_stack(void **state)
{
    (void)state;
    for (uintptr_t objects = 0; objects < 2; objects++) {
        pthread_attr_t attr;
        pthread_t thread;
        assert_int_equal(pthread_attr_init(&attr), 0);
        assert_int_equal(pthread_attr_setstacksize(&attr, 256 << 10), 0);
        assert_int_equal(pthread_create(&thread, &attr, read_and_write_deep, (void *)objects), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(pthread_attr_destroy(&attr), 0);
    }
}

static void unclosed_depth_is_an_error(void **state)
{
    (void)state;
    AUTO_BUF struct buf text = {0};
    AUTO_JSON struct json_doc *doc = NULL;
    size_t at = 0;
    for (int i = 0; i < 100000; i++)
        buf_append_char(&text, '[');
    assert_int_equal(json_parse(buf_str(&text), &doc, &at), -ERR_BAD_JSON);
    assert_int_equal(at, 100000);
    assert_int_equal(json_parse_prefix(buf_str(&text), &doc, &at), -ERR_BAD_JSON);
}

/* ---- accessors */

static void accessors_take_anything(void **state)
{
    (void)state;
    static const char *const values[] = {"null",  "true", "1",   "1.5", "1e400",    "1180591620717411303424",
                                         "\"s\"", "[]",   "[0]", "{}",  "{\"a\":0}"};
    for (size_t i = 0; i <= ARRAY_LEN(values); i++) {
        AUTO_JSON struct json_doc *doc = i < ARRAY_LEN(values) ? parsed(str_from(values[i])) : NULL;
        const struct json *v = json_root(doc);
        enum json_type type = json_type(v);
        struct arena a;
        struct str s;
        bool b;
        double f;
        arena_init(&a);
        assert_int_equal(json_bool(v, &b), type == JSON_BOOL);
        assert_int_equal(json_f64(v, &f), type == JSON_NUMBER);
        assert_int_equal(json_str_raw(v, &s), type == JSON_STRING);
        assert_int_equal(json_str(v, &a, &s), type == JSON_STRING);
        assert_int_equal(json_text(v, &a, &s), type != JSON_NULL && type != JSON_NONE);
        assert_int_equal(json_get(v, STR("a")) != NULL, type == JSON_OBJECT && json_count(v) == 1);
        assert_int_equal(json_at(v, 0) != NULL, type == JSON_ARRAY && json_count(v) == 1);
        struct json_iter it = json_iter(v);
        assert_int_equal(json_next(&it), json_count(v));
        arena_done(&a);
    }
}

static void last_duplicate_wins(void **state)
{
    (void)state;
    AUTO_JSON struct json_doc *doc = parsed(STR("{\"a\":1,\"b\":{\"a\":9},\"\":5,\"a\":2,\"a\\u0000\":3}"));
    const struct json *root = json_root(doc);
    int64_t n = 0;
    assert_true(json_i64(json_get(root, STR("a")), &n));
    assert_int_equal(n, 2);
    assert_true(json_i64(json_get(root, str_of("a\0", 2)), &n));
    assert_int_equal(n, 3);
    assert_true(json_i64(json_get(root, (struct str){NULL, 0}), &n));
    assert_int_equal(n, 5);
    assert_null(json_get(root, STR("c")));
    assert_null(json_get(json_get(json_get(root, STR("x")), STR("y")), STR("z")));
}

static void integers_are_exact(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is;
        int64_t value;
    } cases[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"1.0", true, 1},
        {"-1e2", true, -100},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"-9.223372036854775808e18", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"9.223372036854775808e18", false, 0},
        {"-9223372036854775809", false, 0},
        {"1.5", false, 0},
        {"1e300", false, 0},
        {"NaN", false, 0},
        {"\"1\"", false, 0},
        {"true", false, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_JSON struct json_doc *doc = parsed(str_from(cases[i].text));
        int64_t n = 0;
        if (json_i64(json_root(doc), &n) != cases[i].is || n != cases[i].value)
            fail_msg("%s: %lld", cases[i].text, (long long)n);
    }
}

static void large_integers_are_numbers(void **state)
{
    (void)state;
    AUTO_JSON struct json_doc *doc = parsed(STR("[1180591620717411303424, 1e400, NaN]"));
    struct arena a;
    struct str s;
    double f = 0;
    arena_init(&a);
    assert_true(json_f64(json_at(json_root(doc), 0), &f));
    assert_true(f == 0x1p70);
    assert_true(json_text(json_at(json_root(doc), 0), &a, &s));
    assert_text(s, STR("1180591620717411303424"));
    assert_int_equal(json_type(json_at(json_root(doc), 1)), JSON_NULL);
    assert_int_equal(json_type(json_at(json_root(doc), 2)), JSON_NULL);
    arena_done(&a);
}

static void strings_come_out_clean(void **state)
{
    (void)state;
    AUTO_JSON struct json_doc *doc = parsed(STR("[\"a\\u0000b\xff\xc3\xa9\",\"clean \xc3\xa9\"]"));
    struct arena a;
    struct str raw, s;
    arena_init(&a);
    assert_true(json_str_raw(json_at(json_root(doc), 0), &raw));
    assert_text(raw, STR("a\0b\xff\xc3\xa9"));
    assert_true(json_str(json_at(json_root(doc), 0), &a, &s));
    assert_text(s, STR("a\xEF\xBF\xBD"
                       "b\xEF\xBF\xBD\xc3\xa9"));
    size_t used = a.bytes;
    assert_true(json_str_raw(json_at(json_root(doc), 1), &raw));
    assert_true(json_str(json_at(json_root(doc), 1), &a, &s));
    assert_ptr_equal(s.p, raw.p); /* nothing to repair: nothing copied */
    assert_int_equal(a.bytes, used);
    arena_done(&a);
}

static void texts_of_all_kinds(void **state)
{
    (void)state;
    AUTO_JSON struct json_doc *doc = parsed(STR("[\"a \\\"b\\\"\", 42, 1.5, true, {\"a\" : [1, \"x\"]}, []]"));
    static const char *const wanted[] = {"a \"b\"", "42", "1.5", "true", "{\"a\":[1,\"x\"]}", "[]"};
    struct arena a;
    arena_init(&a);
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        struct str s;
        assert_true(json_text(json_at(json_root(doc), i), &a, &s));
        assert_text(s, str_from(wanted[i]));
    }
    arena_done(&a);
}

static void iterates_in_document_order(void **state)
{
    (void)state;
    AUTO_JSON struct json_doc *doc = parsed(STR("{\"a\":[1,[2]],\"b\":{},\"a\":3}"));
    static const char *const keys[] = {"a", "b", "a"};
    static const enum json_type types[] = {JSON_ARRAY, JSON_OBJECT, JSON_NUMBER};
    size_t n = 0;
    for (struct json_iter it = json_iter(json_root(doc)); json_next(&it); n++) {
        struct str key;
        assert_true(json_str_raw(it.key, &key));
        assert_text(key, str_from(keys[n]));
        assert_int_equal(json_type(it.value), types[n]);
    }
    assert_int_equal(n, 3);
    for (struct json_iter it = json_iter(json_at(json_get(json_root(doc), STR("a")), 0)); json_next(&it);)
        assert_null(it.key);
}

/* ---- the writer */

static void writes_a_document(void **state)
{
    (void)state;
    AUTO_BUF struct buf out = {0};
    AUTO_JSON struct json_doc *doc = parsed(STR("[1,{\"k\":\"v\"}]"));
    struct json_writer w;
    json_writer_init(&w, &out);
    json_begin_object(&w);
    json_field_str(&w, STR("s"), STR("a\"b\n\0\xff"));
    json_field_str(&w, STR("empty"), (struct str){NULL, 0});
    json_field_i64(&w, STR("min"), INT64_MIN);
    json_field_bool(&w, STR("yes"), true);
    json_field_null(&w, STR("nil"));
    json_field_time(&w, STR("at"), 1500000);
    json_key(&w, STR("list"));
    json_begin_array(&w);
    json_put_f64(&w, 0.1);
    json_put_f64(&w, __builtin_inf());
    json_put_f64(&w, __builtin_nan(""));
    json_put_bool(&w, false);
    json_put_null(&w);
    json_put_value(&w, json_root(doc));
    json_put_value(&w, NULL);
    json_put_raw(&w, STR("{\"raw\":1}"));
    json_begin_object(&w);
    json_end_object(&w);
    json_end_array(&w);
    json_key(&w, STR("deep"));
    json_put_value(&w, json_root(doc));
    json_end_object(&w);
    assert_text(buf_str(&out),
                STR("{\"s\":\"a\\\"b\\n\xEF\xBF\xBD\xEF\xBF\xBD\",\"empty\":\"\",\"min\":-9223372036854775808,\"yes\":true,\"nil\":null,"
                    "\"at\":\"1970-01-01T00:00:01.500Z\",\"list\":[0.1,null,null,false,null,[1,{\"k\":\"v\"}],null,{\"raw\":1},{}],"
                    "\"deep\":[1,{\"k\":\"v\"}]}"));
}

/* W1, for every byte at every place of a string that is longer than the writer's stride. */
static void any_bytes_make_valid_json(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        for (size_t at = 0; at < 20; at++) {
            AUTO_BUF struct buf out = {0};
            char text[20];
            struct json_writer w;
            struct str back;
            memset(text, 'x', sizeof text);
            text[at] = (char)byte;
            json_writer_init(&w, &out);
            json_put_str(&w, str_of(text, sizeof text));
            assert_true(str_is_utf8(buf_str(&out)));
            AUTO_JSON struct json_doc *doc = parsed(buf_str(&out));
            assert_true(json_str_raw(json_root(doc), &back));
            if (byte > 0 && byte < 0x80)
                assert_text(back, str_of(text, sizeof text));
            else
                assert_int_equal(back.n, sizeof text + 2); /* U+FFFD in place of one byte */
        }
    }
}

static void value_without_key(struct json_writer *w)
{
    json_begin_object(w);
    json_put_null(w);
}

static void key_without_value(struct json_writer *w)
{
    json_begin_object(w);
    json_key(w, STR("a"));
    json_end_object(w);
}

static void unbalanced_end(struct json_writer *w)
{
    json_begin_array(w);
    json_end_object(w);
}

static void key_in_array(struct json_writer *w)
{
    json_begin_array(w);
    json_key(w, STR("a"));
}

static void too_deep(struct json_writer *w)
{
    for (int i = 0; i <= JSON_WRITER_DEPTH; i++)
        json_begin_array(w);
}

/* W2: each misuse dies on its assert, in a process of its own. */
static void misuse_asserts(void **state)
{
    (void)state;
    static void (*const misuses[])(struct json_writer *) = {value_without_key, key_without_value, unbalanced_end, key_in_array, too_deep};
    for (size_t i = 0; i < ARRAY_LEN(misuses); i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            struct buf out = {0};
            struct json_writer w;
            assert(signal(SIGABRT, SIG_DFL) != SIG_ERR);
            if (!freopen("/dev/null", "w", stderr))
                _exit(1);
            json_writer_init(&w, &out);
            misuses[i](&w);
            _exit(0);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    }
}

/* ---- walking and locating */

static bool check_places_row(const struct byte_case *c)
{
    AUTO_JSON struct json_doc *doc = NULL;
    struct json_walk walk;
    bool good = true;
    struct str in = case_bytes(c, STR("in"));
    if (json_parse(in, &doc, NULL) != 0)
        return true; /* reads_and_writes_the_table has looked at it */
    struct json_locator locator = json_locator(doc, in);
    json_walk_start(&walk, json_root(doc));
    while (json_walk_next(&walk)) {
        AUTO_JSON struct json_doc *part = NULL;
        AUTO_BUF struct buf wanted = {0}, got = {0};
        struct str place = json_locate(&locator, walk.value);
        if (!case_int(c, "place parses", json_parse(place, &part, NULL), 0))
            break;
        write_value(walk.value, &wanted);
        write_value(json_root(part), &got);
        good = case_str(c, "value at its place", buf_str(&got), buf_str(&wanted)) && good;
    }
    json_walk_done(&walk);
    return good;
}

static void finds_the_place_of_every_value(void **state)
{
    (void)state;
    run_byte_cases("json.jsonl", check_places_row);
}

static void walks_in_document_order(void **state)
{
    (void)state;
    AUTO_JSON struct json_doc *doc = parsed(STR("{\"a\":[1,{\"b\":2},[]],\"c\":{},\"skip\":{\"d\":[3]},\"e\":[[4]]}"));
    AUTO_BUF struct buf seen = {0};
    struct json_walk walk;
    json_walk_start(&walk, json_root(doc));
    while (json_walk_next(&walk)) {
        struct str key = STR("-");
        if (walk.key)
            assert_true(json_str_raw(walk.key, &key));
        buf_printf(&seen, "%zu%.*s%d ", walk.depth, STR_ARG(key), (int)json_count(walk.value));
        if (str_eq(key, STR("skip")))
            json_walk_skip(&walk);
    }
    json_walk_done(&walk);
    assert_text(buf_str(&seen), STR("0-4 1a3 2-0 2-1 3b0 2-0 1c0 1skip1 1e1 2-1 3-0 "));
    json_walk_start(&walk, json_root(doc));
    assert_true(json_walk_next(&walk));
    json_walk_skip(&walk);
    assert_false(json_walk_next(&walk));
    json_walk_done(&walk);
}

static void walks_and_locates_at_any_depth(void **state)
{
    (void)state;
    enum { DEEP = 100000 };
    AUTO_BUF struct buf text = {0};
    size_t met = 0;
    for (size_t i = 0; i < DEEP; i++)
        buf_append_str(&text, i % 2 ? STR("{\"a\":") : STR("["));
    buf_append_char(&text, '7');
    for (size_t i = DEEP; i-- > 0;)
        buf_append_char(&text, i % 2 ? '}' : ']');
    AUTO_JSON struct json_doc *doc = parsed(buf_str(&text));
    struct json_locator locator = json_locator(doc, buf_str(&text));
    struct json_walk walk;
    json_walk_start(&walk, json_root(doc));
    for (; json_walk_next(&walk); met++)
        if (walk.depth == DEEP)
            assert_text(json_locate(&locator, walk.value), STR("7"));
    json_walk_done(&walk);
    assert_int_equal(met, DEEP + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_and_writes_the_table),
        cmocka_unit_test(finds_the_table_as_prefixes),
        cmocka_unit_test(prefix_ends_where_the_value_ends),
        cmocka_unit_test(elements_are_counted_without_reading),
        cmocka_unit_test(strings_of_any_length_end_where_they_end),
        cmocka_unit_test(prefix_does_not_read_what_follows),
        cmocka_unit_test(deep_nesting_needs_no_stack),
        cmocka_unit_test(unclosed_depth_is_an_error),
        cmocka_unit_test(accessors_take_anything),
        cmocka_unit_test(last_duplicate_wins),
        cmocka_unit_test(integers_are_exact),
        cmocka_unit_test(large_integers_are_numbers),
        cmocka_unit_test(strings_come_out_clean),
        cmocka_unit_test(texts_of_all_kinds),
        cmocka_unit_test(iterates_in_document_order),
        cmocka_unit_test(finds_the_place_of_every_value),
        cmocka_unit_test(walks_in_document_order),
        cmocka_unit_test(walks_and_locates_at_any_depth),
        cmocka_unit_test(writes_a_document),
        cmocka_unit_test(any_bytes_make_valid_json),
        cmocka_unit_test(misuse_asserts),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
