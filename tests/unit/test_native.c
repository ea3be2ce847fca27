/* test_native.c: events made of crash reports (protocol §1.6 "Minidump", "Unreal", §3.3, §10.4 test_minidump, test_unreal). A row of data/native.jsonl is a
 * report; "want" maps paths into the event to what stands there, null: nothing. Dumps lie in data/dumps: crashpad-linux.dmp was written by
 * Crashpad's handler (Apache License 2.0) about a program of our own, the others by tests/e2e/dumps.py. */
#include "byte_cases.h"

#include <time.h>

#include "picket/event/event.h"
#include "picket/event/minidump.h"
#include "picket/event/native.h"

enum { ROOMY = 1 << 20, MAX_FIELDS = 40 };

static struct str member(const struct byte_case *c, const char *key)
{
    struct str s = STR("");
    (void)json_str(json_get(c->row, str_from(key)), c->arena, &s); /* absent: empty */
    return s;
}

static struct str hex_member(const struct byte_case *c, const char *key)
{
    struct str s = member(c, key);
    uint8_t *bytes = arena_alloc(c->arena, s.n / 2 + 1);
    assert_true(str_hex_decode(s, bytes, s.n / 2));
    return str_of((char *)bytes, s.n / 2);
}

static struct str dump_of(const struct byte_case *c, struct buf *file)
{
    struct str name = member(c, "dump");
    if (name.n)
        read_test_data(arena_printf(c->arena, "dumps/%.*s", STR_ARG(name)).p, file);
    return name.n ? buf_str(file) : case_bytes(c, STR("dump_bytes"));
}

static size_t read_fields(const struct byte_case *c, struct native_field fields[MAX_FIELDS])
{
    size_t n = 0;
    for (struct json_iter it = json_iter(json_get(c->row, STR("fields"))); json_next(&it); n++) {
        assert_true(n < MAX_FIELDS);
        assert_true(json_str(json_at(it.value, 0), c->arena, &fields[n].name));
        assert_true(json_str(json_at(it.value, 1), c->arena, &fields[n].value));
    }
    return n;
}

/* "/a/0/b" */
static const struct json *at_path(const struct json *v, struct str path)
{
    (void)str_cut(&path, '/');
    while (path.p) {
        struct str step = str_cut(&path, '/');
        uint64_t index;
        v = json_type(v) == JSON_ARRAY && str_to_u64(step, &index) ? json_at(v, index) : json_get(v, step);
    }
    return v;
}

static bool check_paths(const struct byte_case *c, const struct json *event)
{
    bool ok = true;
    for (struct json_iter it = json_iter(json_get(c->row, STR("want"))); json_next(&it);) {
        struct str path, got = STR("(nothing)"), wanted = STR("(nothing)");
        assert_true(json_str(it.key, c->arena, &path));
        const struct json *v = at_path(event, path);
        (void)json_text(v, c->arena, &got);
        (void)json_text(it.value, c->arena, &wanted);
        if (json_type(v) != json_type(it.value) && json_type(it.value) != JSON_NULL)
            got = STR("(another type)");
        ok = case_str(c, arena_cstr(c->arena, path), got, wanted) && ok;
    }
    return ok;
}

static bool check_row(const struct byte_case *c)
{
    AUTO_BUF struct buf file = {0};
    AUTO_BUF struct buf out = {0};
    AUTO_JSON struct json_doc *doc = NULL;
    struct native_field fields[MAX_FIELDS];
    struct native_report report = {
        .dump = dump_of(c, &file),
        .event = member(c, "event"),
        .event_msgpack = hex_member(c, "event_msgpack"),
        .breadcrumbs = {hex_member(c, "breadcrumbs1"), hex_member(c, "breadcrumbs2")},
        .fields = fields,
        .n_fields = read_fields(c, fields),
        .unreal_context = member(c, "unreal_context"),
        .unreal_user = member(c, "unreal_user"),
        .apple_report = member(c, "apple"),
        .max_bytes = (size_t)case_i64(c, STR("max_bytes"), ROOMY),
    };
    native_event(&report, &out);
    assert_int_equal(json_parse(buf_str(&out), &doc, NULL), 0);
    if (getenv("TEST_SHOW"))
        fprintf(stderr, "%.*s\n", STR_ARG(buf_str(&out)));
    return check_paths(c, json_root(doc));
}

static void makes_events(void **state)
{
    (void)state;
    run_byte_cases("native.jsonl", check_row);
}

/* What comes out is an event that everything else can read, whatever was cut off the dump. */
static void read_cut(struct str whole, size_t n)
{
    AUTO_FREE char *exact = malloc(n ? n : 1);
    AUTO_BUF struct buf out = {0};
    struct event_origin origin = {.received_us = 1};
    struct event_fields fields;
    struct arena a;
    assert_non_null(exact);
    memcpy(exact, whole.p, n);
    native_event(&(struct native_report){.dump = str_of(exact, n), .max_bytes = ROOMY}, &out);
    arena_init(&a);
    assert_int_equal(event_read(buf_str(&out), &origin, &a, &fields), 0);
    assert_true(fields.class == EVENT_ERROR && (n < 4 || str_eq(fields.platform, STR("native"))));
    arena_done(&a);
}

static void survives_cut_dumps(void **state)
{
    (void)state;
    AUTO_BUF struct buf file = {0};
    read_test_data("dumps/crashpad-linux.dmp", &file);
    for (size_t n = 0; n <= file.n; n += n < 600 ? 1 : 97)
        read_cut(buf_str(&file), n);
}

/* 4 bytes of every aligned place become 0xff, then 0: offsets and counts that lead nowhere. */
static void survives_wrong_numbers(void **state)
{
    (void)state;
    AUTO_BUF struct buf file = {0};
    read_test_data("dumps/windows-amd64.dmp", &file);
    for (size_t at = 4; at + 4 <= file.n; at += 4) {
        for (int byte = 0; byte < 2; byte++) {
            char kept[4];
            memcpy(kept, file.p + at, sizeof kept);
            memset(file.p + at, byte ? 0xff : 0, sizeof kept);
            read_cut(buf_str(&file), file.n);
            memcpy(file.p + at, kept, sizeof kept);
        }
    }
}

static void put32(char *p, uint32_t n)
{
    for (unsigned i = 0; i < sizeof n; i++)
        p[i] = (char)(n >> 8 * i);
}

static double cpu_seconds(void)
{
    struct timespec t;
    assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t), 0);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A thousand modules name the same list; or five hundred annotations the same key: by what they say it is work for minutes. */
static void looks_at_lists_that_lie_upon_each_other_once(void **state)
{
    (void)state;
    enum { BYTES = 32 << 20, INFO = 44, LIST = 100, MODULE = 13000, TEXT = 16000, PAIRS = 20 << 20, ENTRIES = 1000000 };
    for (int is_key = 0; is_key < 2; is_key++) {
        AUTO_FREE char *dump = calloc(1, BYTES);
        assert_non_null(dump);
        memcpy(dump, "MDMP", 4);
        put32(dump + 4, 0xa793);
        put32(dump + 8, 1);
        put32(dump + 12, 32);
        put32(dump + 32, 0x43500001);
        put32(dump + 36, 52);
        put32(dump + 40, INFO);
        put32(dump + INFO + 44, 4 + 12 * 1000);
        put32(dump + INFO + 48, LIST);
        put32(dump + LIST, 1000);
        for (unsigned i = 0; i < 1000; i++) {
            put32(dump + LIST + 4 + 12 * i + 4, 28);
            put32(dump + LIST + 4 + 12 * i + 8, MODULE);
        }
        put32(dump + MODULE + 12, 4 + 8 * ENTRIES);
        put32(dump + MODULE + 16, PAIRS);
        put32(dump + PAIRS, ENTRIES);
        put32(dump + TEXT, PAIRS - TEXT - 4);
        memset(dump + TEXT + 4, '0', PAIRS - TEXT - 4);
        memcpy(dump + TEXT + 4, "sentry__", 8);
        for (unsigned i = 0; i < ENTRIES && is_key; i++)
            put32(dump + PAIRS + 4 + 8 * i, TEXT);
        double began = cpu_seconds();
        read_cut(str_of(dump, BYTES), BYTES);
        assert_true(cpu_seconds() - began < 1.0);
    }
}

/* Those that are left out first make the event no shorter, because others say the same: it is not merged again for each of them. */
static void leaves_out_many_at_once(void **state)
{
    (void)state;
    enum { SAME = 1000, OTHERS = 700, SAME_BYTES = 1000, OTHER_BYTES = 900, LIMIT = 600000 };
    static char names[OTHERS][16];
    AUTO_BUF struct buf out = {0};
    AUTO_JSON struct json_doc *doc = NULL;
    AUTO_FREE struct native_field *fields = calloc(SAME + OTHERS, sizeof *fields);
    AUTO_FREE char *text = malloc(SAME_BYTES);
    assert_true(fields && text);
    memset(text, 'x', SAME_BYTES);
    for (size_t i = 0; i < SAME; i++)
        fields[i] = (struct native_field){STR("sentry[transaction]"), str_of(text, SAME_BYTES)};
    for (size_t i = 0; i < OTHERS; i++) {
        int n = snprintf(names[i], sizeof names[i], "field %zu", i);
        fields[SAME + i] = (struct native_field){str_of(names[i], (size_t)n), str_of(text, OTHER_BYTES)};
    }
    double began = cpu_seconds();
    native_event(
        &(struct native_report){.event = STR("{\"release\":\"r\"}"), .fields = fields, .n_fields = SAME + OTHERS, .max_bytes = LIMIT},
        &out);
    assert_true(cpu_seconds() - began < 1.0);
    assert_true(out.n <= LIMIT);
    assert_int_equal(json_parse(buf_str(&out), &doc, NULL), 0);
    const struct json *event = json_root(doc);
    assert_int_equal(json_type(json_get(event, STR("release"))), JSON_STRING);
    assert_int_equal(json_count(json_get(event, STR("errors"))), 100);
}

static void finds_modules_by_address(void **state)
{
    (void)state;
    struct minidump_module modules[] = {{.address = 0x1000, .size = 0x100},
                                        {.address = 0x2000, .size = 0x1000},
                                        {.address = UINT64_MAX - 9, .size = 20}};
    struct minidump m = {.modules = modules, .n_modules = ARRAY_LEN(modules)};
    assert_null(minidump_module_at(&m, 0xfff));
    assert_ptr_equal(minidump_module_at(&m, 0x1000), &modules[0]);
    assert_ptr_equal(minidump_module_at(&m, 0x10ff), &modules[0]);
    assert_null(minidump_module_at(&m, 0x1100));
    assert_ptr_equal(minidump_module_at(&m, 0x2fff), &modules[1]);
    assert_null(minidump_module_at(&m, 0x3000));
    assert_ptr_equal(minidump_module_at(&m, UINT64_MAX), &modules[2]);
    m.n_modules = 0;
    assert_null(minidump_module_at(&m, 0x1000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_events),
        cmocka_unit_test(survives_cut_dumps),
        cmocka_unit_test(survives_wrong_numbers),
        cmocka_unit_test(looks_at_lists_that_lie_upon_each_other_once),
        cmocka_unit_test(leaves_out_many_at_once),
        cmocka_unit_test(finds_modules_by_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
