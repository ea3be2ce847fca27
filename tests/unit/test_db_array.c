/* Parameters and results in binary, checked against what a real PostgreSQL makes of them: it prints each value itself, and sends it back. */
#include "db_kit.h"

static struct cluster_fixture cluster;
static struct kit kit;

static int start_cluster(void **state)
{
    (void)state;
    fixture_make(&cluster);
    fixture_start(&cluster);
    kit_open(&kit, fixture_conninfo(&cluster));
    return 0;
}

static int stop_cluster(void **state)
{
    (void)state;
    kit_close(&kit);
    fixture_remove(&cluster);
    return 0;
}

static void assert_text(const struct db_rows *rows, int col, const char *expected)
{
    struct str s = db_text(rows, 0, col);
    if (!str_eq(s, str_from(expected)) || !s.p)
        fail_msg("column %d: %.*s instead of %s", col, STR_ARG(s), expected);
}

/* ---- scalars */

struct scalars {
    bool flag;
    int16_t i16;
    int32_t i32;
    int64_t i64;
    struct str text, bytes;
    struct id128 id;
    int64_t time_us;
    const char *printed[8]; /* by the server */
    int seen;
};

static void see_scalars(void *arg, const struct db_rows *rows)
{
    struct scalars *s = arg;
    assert_int_equal(db_count(rows), 1);
    assert_true(db_bool(rows, 0, 0) == s->flag);
    assert_int_equal(db_i64(rows, 0, 1), s->i16);
    assert_int_equal(db_i64(rows, 0, 2), s->i32);
    assert_int_equal(db_i64(rows, 0, 3), s->i64);
    assert_true(str_eq(db_text(rows, 0, 4), s->text) && !db_is_null(rows, 0, 4));
    assert_true(str_eq(db_bytes(rows, 0, 5), s->bytes) && !db_is_null(rows, 0, 5));
    struct id128 id = db_id(rows, 0, 6);
    assert_true(id_eq(&id, &s->id));
    assert_int_equal(db_time(rows, 0, 7), s->time_us);
    for (int i = 0; i < 8; i++)
        assert_text(rows, 8 + i, s->printed[i]);
    s->seen++;
}

static void scalars_arrive_as_they_were(void **state)
{
    static const uint8_t all[16] = {0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0xFE, '\'', '\\', '"', '\n', 0, 0, 9, 0};
    struct scalars cases[] = {
        {.flag = true,
         .i16 = INT16_MIN,
         .i32 = INT32_MIN,
         .i64 = INT64_MIN,
         .text = STR("gr\xC3\xBC\xC3\x9F \xF0\x9F\x90\x98 '\"\\ $1"),
         .bytes = str_of((const char *)all, sizeof all),
         .time_us = INT64_C(1709210096789012),
         .printed = {"true", "-32768", "-2147483648", "-9223372036854775808", "13", "000102037f80fffe275c220a00000900",
                     "00010203-7f80-fffe-275c-220a00000900", "2024-02-29 12:34:56.789012+00"}},
        {.flag = false,
         .i16 = INT16_MAX,
         .i32 = INT32_MAX,
         .i64 = INT64_MAX,
         .text = STR(""),
         .bytes = {NULL, 0},
         .time_us = 0,
         .printed = {"false", "32767", "2147483647", "9223372036854775807", "0", "", "00010203-7f80-fffe-275c-220a00000900",
                     "1970-01-01 00:00:00+00"}},
        {.flag = false,
         .i16 = -1,
         .i32 = -1,
         .i64 = -1,
         .text = STR("\xED\x9F\xBF"),
         .bytes = STR("x"),
         .time_us = CLOCK_MIN_US,
         .printed = {"false", "-1", "-1", "-1", "1", "78", "00010203-7f80-fffe-275c-220a00000900", "0001-01-01 00:00:00+00"}},
        {.flag = true,
         .i16 = 1,
         .i32 = 1,
         .i64 = 1,
         .text = STR("x"),
         .bytes = STR(""),
         .time_us = CLOCK_MAX_US,
         .printed = {"true", "1", "1", "1", "1", "", "00010203-7f80-fffe-275c-220a00000900", "9999-12-31 23:59:59.999999+00"}},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct scalars *s = &cases[i];
        memcpy(s->id.b, all, sizeof s->id.b);
        struct db_query q;
        db_query_init(&q, STMT_TEST_SCALARS, NULL);
        db_bind_bool(&q, s->flag);
        db_bind_i16(&q, s->i16);
        db_bind_i32(&q, s->i32);
        db_bind_i64(&q, s->i64);
        db_bind_text(&q, s->text);
        db_bind_bytes(&q, s->bytes);
        db_bind_id(&q, &s->id);
        db_bind_time(&q, s->time_us);
        assert_int_equal(db_wait(kit.db, &q, see_scalars, s), 0);
        assert_int_equal(s->seen, 1);
    }
}

static void see_nulls(void *arg, const struct db_rows *rows)
{
    for (int i = 0; i < 16; i++)
        assert_true(db_is_null(rows, 0, i));
    assert_false(db_bool(rows, 0, 0));
    assert_int_equal(db_i64(rows, 0, 3), 0);
    assert_null(db_text(rows, 0, 4).p);
    assert_null(db_bytes(rows, 0, 5).p);
    struct id128 id = db_id(rows, 0, 6);
    assert_true(id_is_nil(&id));
    assert_int_equal(db_time(rows, 0, 7), 0);
    ++*(int *)arg;
}

static void nulls_arrive_as_nulls(void **state)
{
    (void)state;
    int seen = 0;
    struct db_query q;
    db_query_init(&q, STMT_TEST_SCALARS, NULL);
    for (int i = 0; i < 8; i++)
        db_bind_null(&q);
    assert_int_equal(db_wait(kit.db, &q, see_nulls, &seen), 0);
    assert_int_equal(seen, 1);
}

/* ---- results of every type */

static void see_texts(void *arg, const struct db_rows *rows)
{
    assert_text(rows, 0, "varchar \xC3\xA4");
    assert_text(rows, 1, "name");
    assert_text(rows, 2, "{\"a\":  1}"); /* json as it was written */
    assert_text(rows, 3, "{\"a\": 1}");  /* jsonb without its version byte */
    assert_null(db_text(rows, 0, 4).p);
    assert_null(db_text(rows, 0, 5).p);
    assert_text(rows, 6, "");
    assert_true(str_eq(db_bytes(rows, 0, 7), str_of("\0\xFF", 2)));
    assert_null(db_bytes(rows, 0, 8).p);
    ++*(int *)arg;
}

static void see_times(void *arg, const struct db_rows *rows)
{
    assert_int_equal(db_time(rows, 0, 0), CLOCK_MAX_US);
    assert_int_equal(db_time(rows, 0, 1), CLOCK_MIN_US);
    assert_int_equal(db_time(rows, 0, 2), CLOCK_MAX_US);
    assert_int_equal(db_time(rows, 0, 3), CLOCK_MIN_US);
    assert_int_equal(db_time(rows, 0, 4), INT64_C(1709210096789012));
    assert_true(db_is_null(rows, 0, 5));
    ++*(int *)arg;
}

static void see_smallints(void *arg, const struct db_rows *rows)
{
    assert_int_equal(db_i16_count(rows, 0, 0), 3);
    assert_int_equal(db_i16_at(rows, 0, 0, 0), 1);
    assert_int_equal(db_i16_at(rows, 0, 0, 1), -2);
    assert_int_equal(db_i16_at(rows, 0, 0, 2), 32767);
    assert_int_equal(db_i16_count(rows, 0, 1), 0);
    assert_int_equal(db_i16_count(rows, 0, 2), 0);
    assert_true(db_is_null(rows, 0, 2));
    ++*(int *)arg;
}

static void reads_every_type(void **state)
{
    static const struct {
        enum db_stmt stmt;
        void (*see)(void *arg, const struct db_rows *rows);
    } cases[] = {{STMT_TEST_TEXTS, see_texts}, {STMT_TEST_TIMES, see_times}, {STMT_TEST_SMALLINTS, see_smallints}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int seen = 0;
        struct db_query q;
        db_query_init(&q, cases[i].stmt, NULL);
        assert_int_equal(db_wait(kit.db, &q, cases[i].see, &seen), 0);
        assert_int_equal(seen, 1);
    }
}

/* ---- arrays */

enum { N_ARRAYS = 9 };

struct arrays {
    struct db_array of[N_ARRAYS];
    const char *printed[N_ARRAYS];
    int count, seen;
};

static void see_arrays(void *arg, const struct db_rows *rows)
{
    static const int columns[N_ARRAYS] = {0, 4, 5, 6, 7, 8, 9, 10, 11};
    struct arrays *a = arg;
    for (int i = 0; i < N_ARRAYS; i++)
        assert_text(rows, columns[i], a->printed[i]);
    assert_int_equal(db_i64(rows, 0, 1), a->count);
    assert_true(db_is_null(rows, 0, 2) == (a->count == 0)); /* an empty array has no dimensions */
    assert_int_equal(db_i64(rows, 0, 2), a->count ? 1 : 0);
    assert_int_equal(db_i64(rows, 0, 3), a->count ? 1 : 0); /* counted from 1 */
    a->seen++;
}

static void start_arrays(struct arrays *a)
{
    static const enum db_type types[N_ARRAYS] = {DB_BOOL, DB_I16, DB_I32, DB_I64, DB_TEXT, DB_BYTES, DB_ID, DB_TIME, DB_INET};
    for (int i = 0; i < N_ARRAYS; i++)
        db_array_start(&a->of[i], types[i]);
}

static void check_arrays(struct arrays *a)
{
    struct db_query q;
    db_query_init(&q, STMT_TEST_ARRAYS, NULL);
    for (int i = 0; i < N_ARRAYS; i++)
        db_bind_array(&q, &a->of[i]);
    a->seen = 0;
    assert_int_equal(db_wait(kit.db, &q, see_arrays, a), 0);
    assert_int_equal(a->seen, 1);
}

static void finish_arrays(struct arrays *a)
{
    for (int i = 0; i < N_ARRAYS; i++)
        db_array_done(&a->of[i]);
}

static void empty_arrays_are_empty(void **state)
{
    (void)state;
    struct arrays a = {.printed = {"{}", "{}", "{}", "{}", "{}", "{}", "{}", "{}", "{}"}};
    start_arrays(&a);
    check_arrays(&a);
    finish_arrays(&a);
}

static void arrays_of_nulls(void **state)
{
    (void)state;
    struct arrays a = {.count = 2};
    start_arrays(&a);
    for (int i = 0; i < N_ARRAYS; i++) {
        db_array_null(&a.of[i]);
        db_array_null(&a.of[i]);
        a.printed[i] = "{NULL,NULL}";
    }
    check_arrays(&a);
    finish_arrays(&a);
}

static void fill_arrays(struct arrays *a)
{
    static const uint8_t v4[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 192, 0, 2, 1}, v6[16] = {0x20, 0x01, 0x0D, 0xB8, [15] = 1},
                         none[16];
    struct id128 id;
    memset(id.b, 0xAB, sizeof id.b);
    db_array_bool(&a->of[0], true);
    db_array_null(&a->of[0]);
    db_array_bool(&a->of[0], false);
    db_array_i16(&a->of[1], INT16_MIN);
    db_array_i16(&a->of[1], 7);
    db_array_null(&a->of[1]);
    db_array_i32(&a->of[2], INT32_MIN);
    db_array_i32(&a->of[2], INT32_MAX);
    db_array_i64(&a->of[3], INT64_MIN);
    db_array_i64(&a->of[3], -1);
    db_array_text(&a->of[4], STR("NULL"));
    db_array_text(&a->of[4], STR(""));
    db_array_text(&a->of[4], (struct str){NULL, 0});
    db_array_text(&a->of[4], STR("a,\"b\"\\ \xC3\xA4"));
    db_array_bytes(&a->of[5], str_of("\0\xFF", 2));
    db_array_bytes(&a->of[5], (struct str){NULL, 0});
    db_array_id(&a->of[6], &id);
    db_array_time(&a->of[7], 0);
    db_array_time(&a->of[7], INT64_C(946684800000001));
    db_array_inet(&a->of[8], v4);
    db_array_inet(&a->of[8], none);
    db_array_inet(&a->of[8], v6);
}

static void arrays_of_every_type(void **state)
{
    (void)state;
    struct arrays a = {.count = 3,
                       .printed = {"{t,NULL,f}", "{-32768,7,NULL}", "{-2147483648,2147483647}", "{-9223372036854775808,-1}",
                                   "{\"NULL\",\"\",\"\",\"a,\\\"b\\\"\\\\ \xC3\xA4\"}", "{\"\\\\x00ff\",\"\\\\x\"}",
                                   "{abababab-abab-abab-abab-abababababab}",
                                   "{\"1970-01-01 00:00:00+00\",\"2000-01-01 00:00:00.000001+00\"}", "{192.0.2.1,NULL,2001:db8::1}"}};
    for (int round = 0; round < 2; round++) { /* the second time in the same memory */
        start_arrays(&a);
        fill_arrays(&a);
        check_arrays(&a);
        check_arrays(&a); /* binding does not use an array up */
    }
    finish_arrays(&a);
}

static void see_count(void *arg, const struct db_rows *rows)
{
    *(int64_t *)arg = db_i64(rows, 0, 1);
}

static void large_arrays(void **state)
{
    (void)state;
    struct arrays a = {0};
    int64_t n = 0;
    start_arrays(&a);
    for (int i = 0; i < 200000; i++)
        db_array_bool(&a.of[0], i % 3 == 0);
    struct db_query q;
    db_query_init(&q, STMT_TEST_ARRAYS, NULL);
    for (int i = 0; i < N_ARRAYS; i++)
        db_bind_array(&q, &a.of[i]);
    assert_int_equal(db_wait(kit.db, &q, see_count, &n), 0);
    assert_int_equal(n, 200000);
    finish_arrays(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalars_arrive_as_they_were),
        cmocka_unit_test(nulls_arrive_as_nulls),
        cmocka_unit_test(reads_every_type),
        cmocka_unit_test(empty_arrays_are_empty),
        cmocka_unit_test(arrays_of_nulls),
        cmocka_unit_test(arrays_of_every_type),
        cmocka_unit_test(large_arrays),
    };
    return cmocka_run_group_tests(tests, start_cluster, stop_cluster);
}
