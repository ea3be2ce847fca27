/* test_spill.c: dead letters as files (src/digest/spill.c): whole, private, sendable, bounded. */
#include "spill_kit.h"

#include <fcntl.h>

#include "picket/protocol/envelope.h"

enum { PLENTY = 1 << 20 };

static mode_t mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

static void path_of(const struct kit *k, int64_t number, char dst[KIT_PATH_MAX])
{
    struct spill_name name = {number, kit_id(number, 0x10)};
    char file[SPILL_NAME_MAX];
    spill_file(&name, file);
    assert_true(snprintf(dst, KIT_PATH_MAX, "%s/%s", k->dir, file) < KIT_PATH_MAX);
}

static void a_letter_comes_back(void **state)
{
    struct kit k;
    char path[KIT_PATH_MAX];
    (void)state;
    kit_init(&k, PLENTY);
    assert_int_equal(kit_check(&k), 0); /* no directory yet */
    for (int64_t i = 1; i <= 20; i++)
        assert_int_equal(kit_write(&k, i * 1000), 0);
    assert_int_equal(kit_check(&k), 20);
    assert_int_equal(kit_stats(&k).files, 20);
    assert_int_equal(mode_of(k.dir), 0700);
    path_of(&k, 1000, path);
    assert_int_equal(mode_of(path), 0600);
    kit_done(&k);
}

/* Protocol §2.1: what lies there can be sent; its dsn would bind it to one project (protocol §1.4). */
static void a_file_is_an_envelope(void **state)
{
    struct kit k;
    char path[KIT_PATH_MAX], text[8192];
    struct envelope e;
    struct envelope_item item;
    struct arena arena;
    AUTO_BUF struct buf wanted = {0};
    (void)state;
    kit_init(&k, PLENTY);
    assert_int_equal(kit_write(&k, 5), 0);
    path_of(&k, 5, path);
    AUTO_CLOSE int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, text, sizeof text);
    assert_in_range(n, KIT_PAYLOAD, sizeof text - 1);
    arena_init(&arena);
    assert_int_equal(envelope_open(str_of(text, (size_t)n), &arena, &e), 0);
    struct id128 event = kit_id(5, 0xE0);
    assert_true(e.header.has_event_id && id_eq(&e.header.event_id, &event));
    assert_int_equal(e.header.dsn.n, 0);
    assert_true(strstr(text, "sentry.c") != NULL);
    assert_int_equal(envelope_next(&e, &item), 1);
    assert_true(str_eq(item.kind->name, STR("event")));
    kit_payload(5, &wanted);
    assert_true(str_eq(item.payload, buf_str(&wanted)));
    assert_int_equal(envelope_next(&e, &item), 0);
    arena_done(&arena);
    kit_done(&k);
}

/* The item's header says what the payload is (protocol §2.2), and the letter its kind: what is sent or made a row of again is what it was. */
static void every_kind_is_told(void **state)
{
    static const struct {
        enum spool_kind kind;
        const char *type;
        bool is_stored; /* by who it is sent to */
    } cases[] = {{SPOOL_EVENT, "event", true},
                 {SPOOL_CLIENT_REPORT, "client_report", true},
                 {SPOOL_SESSION, "session", true},
                 {SPOOL_SESSIONS, "sessions", true},
                 {SPOOL_FEEDBACK, "feedback", true},
                 {SPOOL_USER_REPORT, "user_report", true},
                 {SPOOL_OUTCOMES, "picket_outcomes", false},
                 {(enum spool_kind)77, "picket_unknown", false}};
    struct kit k;
    (void)state;
    kit_init(&k, PLENTY);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dead_letter letter = kit_letter((int64_t)i + 1);
        struct spill_name name = {letter.number, letter.record};
        char path[KIT_PATH_MAX], text[8192];
        struct envelope e;
        struct envelope_item item;
        struct arena arena;
        AUTO_JSON struct json_doc *doc = NULL;
        AUTO_BUF struct buf buf = {0};
        struct str head, type;
        int64_t kind;
        letter.kind = cases[i].kind;
        letter.meta = STR("{}");
        letter.event = i % 2 ? letter.event : (struct id128){{0}};
        assert_int_equal(spill_write(k.s, &letter, STR("{\"a\":\n1}")), 0);
        path_of(&k, letter.number, path);
        AUTO_CLOSE int fd = open(path, O_RDONLY);
        ssize_t n = read(fd, text, sizeof text);
        assert_true(n > 0);
        arena_init(&arena);
        assert_int_equal(envelope_open(str_of(text, (size_t)n), &arena, &e), 0);
        assert_int_equal(e.header.has_event_id, i % 2); /* one that it does not have would become a feedback's or a report's */
        assert_int_equal(envelope_next(&e, &item), 1);
        assert_true(cases[i].is_stored ? item.kind->fate == ITEM_STORED && str_eq(item.kind->name, str_from(cases[i].type))
                                       : item.kind->fate == ITEM_SKIPPED);
        assert_true(str_eq(item.payload, STR("{\"a\":\n1}")));
        assert_int_equal(spill_read_head(k.dir, &name, &buf, &head), 0);
        assert_int_equal(json_parse(head, &doc, NULL), 0);
        const struct json *told = json_get(json_root(doc), STR("dead_letter"));
        assert_true(json_str_raw(json_get(told, STR("item_type")), &type) && str_eq(type, str_from(cases[i].type)));
        assert_true(json_i64(json_get(told, STR("kind")), &kind) && kind == (int64_t)cases[i].kind);
        arena_done(&arena);
    }
    kit_done(&k);
}

/* Files of stored letters go, whatever their number, and no others. */
static void stored_letters_are_cleaned(void **state)
{
    struct kit k;
    AUTO_FREE struct spill_name *names = NULL;
    struct id128 records[] = {kit_id(9, 0x10), kit_id(2, 0x10), kit_id(77, 0x10), kit_id(4, 0x10), kit_id(3, 0xE0)};
    size_t n;
    (void)state;
    kit_init(&k, PLENTY);
    assert_int_equal(spill_clean(k.s, records, ARRAY_LEN(records)), 0); /* no directory yet */
    for (int64_t i = 1; i <= 10; i++)
        assert_int_equal(kit_write(&k, i), 0);
    assert_int_equal(spill_clean(k.s, records, 0), 0);
    assert_int_equal(kit_check(&k), 10);
    struct dead_letter renumbered = kit_letter(99); /* of another database: the same record by another number */
    renumbered.record = kit_id(9, 0x10);
    assert_int_equal(spill_write(k.s, &renumbered, STR("{}")), 0);
    uint64_t before = kit_stats(&k).bytes;
    assert_int_equal(spill_clean(k.s, records, ARRAY_LEN(records)), 0);
    assert_int_equal(spill_list(k.dir, &names, &n), 0);
    static const int64_t left[] = {1, 3, 5, 6, 7, 8, 10};
    assert_int_equal(n, ARRAY_LEN(left));
    for (size_t i = 0; i < n; i++)
        assert_int_equal(names[i].number, left[i]);
    assert_int_equal(kit_stats(&k).files, n);
    assert_true(kit_stats(&k).bytes < before);
    assert_int_equal(kit_stats(&k).removed, 0); /* no loss */
    assert_int_equal(kit_check(&k), n);
    kit_done(&k);
}

static void the_oldest_go(void **state)
{
    struct kit k;
    (void)state;
    kit_init(&k, 20000);
    for (int64_t i = 1; i <= 100; i++) {
        assert_int_equal(kit_write(&k, i), 0);
        assert_true(kit_stats(&k).bytes <= 20000);
    }
    AUTO_FREE struct spill_name *names = NULL;
    size_t n;
    assert_int_equal(spill_list(k.dir, &names, &n), 0);
    assert_int_equal(n, kit_stats(&k).files);
    assert_int_equal(kit_stats(&k).removed, 100 - n);
    assert_in_range(n, 8, 20);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(names[i].number, 100 - n + 1 + i);
    assert_int_equal(kit_check(&k), n);
    kit_done(&k);
}

static void written_twice_counts_once(void **state)
{
    struct kit k;
    (void)state;
    kit_init(&k, PLENTY);
    assert_int_equal(kit_write(&k, 1), 0);
    struct spill_stats once = kit_stats(&k);
    assert_int_equal(kit_write(&k, 1), 0);
    assert_int_equal(kit_stats(&k).files, 1);
    assert_int_equal(kit_stats(&k).bytes, once.bytes);
    struct id128 record = kit_id(1, 0x10);
    spill_take_back(k.s, 1, &record);
    assert_int_equal(kit_stats(&k).files, 0);
    assert_int_equal(kit_stats(&k).bytes, 0);
    assert_int_equal(kit_check(&k), 0);
    kit_done(&k);
}

/* A letter that is written again is no loss, even if it is the oldest when the bound is reached. */
static void the_oldest_is_replaced_and_not_removed(void **state)
{
    struct kit k;
    AUTO_FREE struct spill_name *names = NULL;
    size_t n;
    (void)state;
    kit_init(&k, PLENTY);
    assert_int_equal(kit_write_payload(&k, 1, STR("{}")), 0);
    for (int64_t i = 2; i <= 20; i++)
        assert_int_equal(kit_write(&k, i), 0);
    uint64_t max_bytes = kit_stats(&k).bytes + 100;
    spill_close(k.s);
    kit_open(&k, max_bytes);
    assert_int_equal(kit_write(&k, 1), 0); /* longer than it was */
    assert_int_equal(spill_list(k.dir, &names, &n), 0);
    assert_int_equal(names[0].number, 1);
    assert_in_range(n, 2, 19);
    assert_int_equal(names[n - 1].number, 20);
    assert_int_equal(kit_stats(&k).removed, 20 - n);
    assert_int_equal(kit_stats(&k).files, kit_check(&k));
    struct spill_stats counted = kit_stats(&k);
    spill_close(k.s);
    kit_open(&k, max_bytes);
    assert_int_equal(kit_stats(&k).bytes, counted.bytes);
    kit_done(&k);
}

static void others_delete_and_a_start_measures(void **state)
{
    struct kit k;
    (void)state;
    kit_init(&k, PLENTY);
    for (int64_t i = 1; i <= 3; i++)
        assert_int_equal(kit_write(&k, i), 0);
    struct spill_name name = {2, kit_id(2, 0x10)};
    assert_int_equal(spill_delete(k.dir, &name), 0);
    assert_int_equal(spill_delete(k.dir, &name), -ENOENT);
    assert_int_equal(kit_stats(&k).files, 3);
    spill_refresh(k.s);
    struct spill_stats seen = kit_stats(&k);
    assert_int_equal(seen.files, 2);
    spill_close(k.s);
    kit_open(&k, PLENTY);
    assert_int_equal(kit_stats(&k).files, 2);
    assert_int_equal(kit_stats(&k).bytes, seen.bytes);
    kit_done(&k);
}

/* ---- age */

#define NOW (INT64_C(1700000000) * CLOCK_US_PER_S)
#define BEFORE (NOW - 30 * CLOCK_US_PER_DAY)

/* A letter that was received and that first failed so many days ago. */
static struct spill_name write_aged(struct kit *k, int64_t number, double received, double failed)
{
    struct dead_letter letter = kit_letter(number);
    letter.record = id_v7(NOW - (int64_t)(received * (double)CLOCK_US_PER_DAY));
    letter.first_failed_us = NOW - (int64_t)(failed * (double)CLOCK_US_PER_DAY);
    assert_int_equal(spill_write(k->s, &letter, STR("{}")), 0);
    return (struct spill_name){number, letter.record};
}

/* Puts `text` into a letter's file, whose last change was so many days before NOW. */
static void spoil(const struct kit *k, const struct spill_name *name, const char *text, int days)
{
    char file[SPILL_NAME_MAX], path[KIT_PATH_MAX];
    time_t at = (time_t)((NOW - days * CLOCK_US_PER_DAY) / CLOCK_US_PER_S);
    struct timespec times[2] = {{.tv_sec = at}, {.tv_sec = at}};
    spill_file(name, file);
    assert_true(snprintf(path, sizeof path, "%s/%s", k->dir, file) < (int)sizeof path);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_TRUNC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(futimens(fd, times), 0);
}

static void letters_go_by_when_they_first_failed(void **state)
{
    struct kit k;
    AUTO_FREE struct spill_name *names = NULL;
    struct spill_aged aged;
    size_t n;
    (void)state;
    kit_init(&k, PLENTY);
    assert_int_equal(spill_age(k.dir, BEFORE, NOW, SPILL_DELETE_AGED, &aged), 0); /* no directory yet */
    assert_int_equal(aged.files, 0);
    write_aged(&k, 1, 31, 30.1);
    write_aged(&k, 2, 31, 29.9); /* it lay in the spool for a day */
    write_aged(&k, 3, 29, 31);   /* it was not received then: the name is believed */
    write_aged(&k, 4, -400, 31); /* received by a clock that was ahead: the name is not believed */
    write_aged(&k, 5, -400, 5);
    struct spill_name old = write_aged(&k, 6, 40, 1), young = write_aged(&k, 7, 40, 40), headless = write_aged(&k, 8, 40, 1);
    spoil(&k, &old, "no JSON\n", 31);
    spoil(&k, &young, "no JSON\n", 29);
    spoil(&k, &headless, "{\"dead_letter\":{\"first_failed_at\":\"soon\"}}\n{}\n\n", 31);
    uint64_t bytes = kit_stats(&k).bytes;
    assert_int_equal(spill_age(k.dir, BEFORE, NOW, SPILL_COUNT_AGED, &aged), 0);
    assert_int_equal(aged.files, 4);
    assert_int_equal(spill_list(k.dir, &names, &n), 0);
    assert_int_equal(n, 8);
    struct spill_aged counted = aged;
    assert_int_equal(spill_age(k.dir, BEFORE, NOW, SPILL_DELETE_AGED, &aged), 0);
    assert_memory_equal(&aged, &counted, sizeof aged);
    assert_in_range(aged.bytes, 4, bytes - 1);
    free(TAKE_PTR(names));
    assert_int_equal(spill_list(k.dir, &names, &n), 0);
    static const int64_t left[] = {2, 3, 5, 7};
    assert_int_equal(n, ARRAY_LEN(left));
    for (size_t i = 0; i < n; i++)
        assert_int_equal(names[i].number, left[i]);
    spill_refresh(k.s);
    assert_int_equal(kit_stats(&k).files, n);
    assert_int_equal(kit_stats(&k).removed, 0); /* no loss */
    kit_done(&k);
}

/* What cannot be deleted is told, and costs no other file its turn. */
static void one_that_cannot_be_deleted_stays(void **state)
{
    struct kit k;
    char file[SPILL_NAME_MAX], path[KIT_PATH_MAX];
    struct spill_aged aged;
    struct spill_name stuck = {1, id_v7(NOW - 40 * CLOCK_US_PER_DAY)};
    (void)state;
    kit_init(&k, PLENTY);
    write_aged(&k, 2, 40, 40);
    spill_file(&stuck, file);
    assert_true(snprintf(path, sizeof path, "%s/%s", k.dir, file) < (int)sizeof path);
    assert_int_equal(mkdir(path, 0700), 0);
    struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    assert_true(spill_age(k.dir, BEFORE, NOW, SPILL_DELETE_AGED, &aged) < 0);
    assert_int_equal(aged.files, 1);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(spill_age(k.dir, BEFORE, NOW, SPILL_DELETE_AGED, &aged), 0);
    assert_int_equal(aged.files, 0);
    kit_done(&k);
}

/* Names that are not ours are nobody's letter. */
static void strangers_are_left_alone(void **state)
{
    static const char *const names[] = {"0000000000000000005-x.envelope", "README",
                                        "00000000000000000aa-00000000000000000000000000000000.envelope",
                                        "0000000000000000005-00000000000000000000000000000000.envelope~"};
    struct kit k;
    char path[KIT_PATH_MAX];
    (void)state;
    kit_init(&k, 5000);
    assert_int_equal(kit_write(&k, 1), 0);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        assert_true(snprintf(path, sizeof path, "%s/%s", k.dir, names[i]) < (int)sizeof path);
        AUTO_CLOSE int fd = open(path, O_CREAT | O_WRONLY, 0600);
        assert_true(fd >= 0);
    }
    for (int64_t i = 2; i < 20; i++)
        assert_int_equal(kit_write(&k, i), 0);
    (void)kit_check(&k);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        assert_true(snprintf(path, sizeof path, "%s/%s", k.dir, names[i]) < (int)sizeof path);
        assert_int_equal(unlink(path), 0);
    }
    kit_done(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_letter_comes_back),
        cmocka_unit_test(a_file_is_an_envelope),
        cmocka_unit_test(every_kind_is_told),
        cmocka_unit_test(stored_letters_are_cleaned),
        cmocka_unit_test(the_oldest_go),
        cmocka_unit_test(written_twice_counts_once),
        cmocka_unit_test(the_oldest_is_replaced_and_not_removed),
        cmocka_unit_test(others_delete_and_a_start_measures),
        cmocka_unit_test(letters_go_by_when_they_first_failed),
        cmocka_unit_test(one_that_cannot_be_deleted_stays),
        cmocka_unit_test(strangers_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
