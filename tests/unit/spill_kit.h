/* spill_kit.h: what the tests of spilled dead letters share: a directory, letters that follow from their number, and a check of a whole directory. */
#pragma once

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "picket/base/clock.h"
#include "picket/base/error.h"
#include "picket/base/fault.h"
#include "picket/digest/spill.h"

enum { KIT_PATH_MAX = 256, KIT_PAYLOAD = 900 };

struct kit {
    char root[KIT_PATH_MAX], dir[KIT_PATH_MAX];
    struct spill *s;
};

static inline void kit_open(struct kit *k, uint64_t max_bytes)
{
    struct spill_config config = {.dir = k->dir, .max_bytes = max_bytes};
    assert_int_equal(spill_open(&config, &k->s), 0);
}

static inline void kit_init(struct kit *k, uint64_t max_bytes)
{
    const char *tmp = getenv("TMPDIR");
    *k = (struct kit){0};
    (void)snprintf(k->root, sizeof k->root, "%s/picket-spill-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(k->root));
    assert_true(snprintf(k->dir, sizeof k->dir, "%s/dead-letters", k->root) < (int)sizeof k->dir);
    kit_open(k, max_bytes);
}

static inline struct spill_stats kit_stats(const struct kit *k)
{
    struct spill_stats stats;
    spill_stats(k->s, &stats);
    return stats;
}

static inline struct id128 kit_id(int64_t number, uint8_t what)
{
    struct id128 id = {{what}};
    memcpy(id.b + 8, &number, sizeof number);
    return id;
}

static inline void kit_payload(int64_t number, struct buf *out)
{
    buf_printf(out, "{\"message\":\"letter %" PRId64 "\",\n\"blob\":\"", number); /* with a newline of its own */
    while (out->n < KIT_PAYLOAD)
        buf_append_char(out, (char)('a' + number % 26));
    buf_append_str(out, STR("\"}"));
}

static inline struct dead_letter kit_letter(int64_t number)
{
    return (struct dead_letter){
        .number = number,
        .project = number + 7,
        .event = kit_id(number, 0xE0),
        .record = kit_id(number, 0x10),
        .status = STR("dead"),
        .reason = STR("DB_FAILED"),
        .sqlstate = STR("23514"),
        .detail = STR("some_check"),
        .position = number % 2 ? number : -1,
        .attempts = 3,
        .received_us = 1700000000 * INT64_C(1000000),
        .first_failed_us = 1700000001 * INT64_C(1000000),
        .last_failed_us = 1700000002 * INT64_C(1000000),
        .kind = SPOOL_EVENT,
        .sent_at_us = 1699999999 * INT64_C(1000000),
        .address = STR("203.0.113.7"),
        .meta = STR("{\"event_id\":\"x\",\"dsn\":\"https://k@h/1\",\"sdk\":{\"name\":\"sentry.c\",\"version\":\"1\"}}"),
    };
}

static inline int kit_write_payload(struct kit *k, int64_t number, struct str payload)
{
    struct dead_letter letter = kit_letter(number);
    return spill_write(k->s, &letter, payload);
}

static inline int kit_write(struct kit *k, int64_t number)
{
    AUTO_BUF struct buf payload = {0};
    kit_payload(number, &payload);
    return kit_write_payload(k, number, buf_str(&payload));
}

/* Everything that is listed is whole, and nothing else lies in the directory. Returns how many there are. */
static inline size_t kit_check(const struct kit *k)
{
    AUTO_FREE struct spill_name *names = NULL;
    AUTO_BUF struct buf buf = {0};
    size_t n;
    assert_int_equal(spill_list(k->dir, &names, &n), 0);
    for (size_t i = 0; i < n; i++) {
        AUTO_BUF struct buf wanted = {0};
        AUTO_JSON struct json_doc *doc = NULL;
        struct str payload, head;
        int64_t number;
        kit_payload(names[i].number, &wanted);
        assert_int_equal(spill_read_payload(k->dir, &names[i], &buf, &payload), 0);
        assert_true(str_eq(payload, buf_str(&wanted)));
        assert_int_equal(spill_read_head(k->dir, &names[i], &buf, &head), 0);
        assert_int_equal(json_parse(head, &doc, NULL), 0);
        assert_true(json_i64(json_get(json_get(json_root(doc), STR("dead_letter")), STR("id")), &number));
        assert_int_equal(number, names[i].number);
        assert_true(i == 0 || names[i - 1].number < number);
    }
    return n;
}

static inline void kit_done(struct kit *k)
{
    AUTO_FREE struct spill_name *names = NULL;
    char path[KIT_PATH_MAX];
    size_t n;
    spill_close(k->s);
    assert_int_equal(spill_list(k->dir, &names, &n), 0);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(spill_delete(k->dir, &names[i]), 0);
    assert_true(snprintf(path, sizeof path, "%s/unfinished", k->dir) < (int)sizeof path);
    (void)unlink(path);
    (void)rmdir(k->dir);
    assert_int_equal(rmdir(k->root), 0); /* nothing else was left */
}
