/* fuzz_items.c: items that are no events; the first byte says which. What is read is one JSON object that PostgreSQL takes, its numbers are whole and
 * bounded, its texts well-formed and without NUL, and it is not much longer than what it was made of. */
#include "fuzz.h"

#include "picket/base/error.h"
#include "picket/event/items.h"

#define NUMBER_MAX INT64_C(40000000000) /* sums of five counts, times, milliseconds of a year */

static void check_values(const struct json *object)
{
    for (struct json_iter it = json_iter(object); json_next(&it);) {
        struct str key = STR(""), text;
        int64_t number;
        (void)json_str_raw(it.key, &key);
        if (json_str_raw(it.value, &text))
            assert(str_is_utf8(text) && str_find(text, 0) == text.n && text.n <= 4 * ITEMS_MAX_MESSAGE);
        else if (json_type(it.value) == JSON_NUMBER)
            assert(json_i64(it.value, &number) &&
                   (str_eq(key, STR("seq")) || str_eq(key, STR("minutes")) || (number > -NUMBER_MAX && number < NUMBER_MAX)));
        else
            assert(json_type(it.value) <= JSON_BOOL || str_eq(key, STR("config")) || str_eq(key, STR("data")));
    }
}

/* What came with feedback: PostgreSQL reads a jsonb by recursion, takes no NUL, and knows no number beyond double. */
static void check_circumstances(const struct json *data)
{
    static const struct str names[] = {STR("platform"), STR("sdk"), STR("request"), STR("tags"), STR("user"), STR("contexts")};
    struct json_walk w;
    if (json_type(data) == JSON_NONE)
        return;
    for (struct json_iter it = json_iter(data); json_next(&it);) {
        bool known = false;
        struct str key = STR("");
        for (size_t i = 0; json_str_raw(it.key, &key) && i < ARRAY_LEN(names); i++)
            known |= str_eq(key, names[i]);
        assert(known && json_type(it.value) == (str_eq(key, STR("platform")) ? JSON_STRING : JSON_OBJECT));
    }
    assert(!json_get(json_get(data, STR("contexts")), STR("feedback")));
    json_walk_start(&w, data);
    while (json_walk_next(&w)) {
        double number;
        assert(w.depth < JSON_WRITER_DEPTH);
        assert(!w.key || (str_is_utf8(w.name) && str_find(w.name, 0) == w.name.n));
        assert(w.type != JSON_STRING || (str_is_utf8(w.text) && str_find(w.text, 0) == w.text.n));
        assert(w.type != JSON_NUMBER || json_f64(w.value, &number));
    }
    json_walk_done(&w);
}

static void check_list(const struct json *list)
{
    assert(json_type(list) == JSON_NONE || json_type(list) == JSON_ARRAY);
    assert(json_count(list) <= ITEMS_MAX_ENTRIES);
    for (struct json_iter it = json_iter(list); json_next(&it);)
        check_values(it.value);
}

/* What is said of an attachment is written by the door: what it reads back is what it wrote. */
static void check_attachment(const struct json *attachment)
{
    AUTO_BUF struct buf again = {0};
    struct attachment a = {0};
    int64_t bytes = 0;
    if (json_type(attachment) == JSON_NONE)
        return;
    for (struct json_iter it = json_iter(attachment); json_next(&it);) {
        struct str key = STR(""), text = STR("");
        (void)json_str_raw(it.key, &key);
        assert(json_str_raw(it.value, &text) ? str_is_utf8(text) && str_find(text, 0) == text.n && text.n <= 4 * ITEMS_MAX_FILE_NAME
                                             : json_i64(it.value, &bytes) && bytes >= 0);
        a.name = str_eq(key, STR("name")) ? text : a.name;
        a.content_type = str_eq(key, STR("content_type")) ? text : a.content_type;
        a.type = str_eq(key, STR("attachment_type")) ? text : a.type;
        a.sha256 = str_eq(key, STR("sha256")) ? text : a.sha256;
    }
    a.bytes = (uint64_t)bytes;
    attachment_write(&a, &again);
    AUTO_BUF struct buf out = {0};
    struct item_origin origin = {.received_us = INT64_C(1795262400000000)};
    assert(attachment_read(buf_str(&again), &origin, &out) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int (*const readers[])(struct str, const struct item_origin *,
                                  struct buf *) = {client_report_read, session_read,    sessions_read, feedback_read,
                                                   user_report_read,   attachment_read, check_in_read};
    if (size == 0)
        return 0;
    AUTO_BUF struct buf out = {0};
    AUTO_JSON struct json_doc *doc = NULL;
    struct item_origin origin = {.received_us = INT64_C(1795262400000000),
                                 .project_id = 42,
                                 .event_id = {{data[0] & 8}},
                                 .client_address = STR("192.0.2.1"),
                                 .sdk_name = STR("an.sdk")};
    int r = readers[data[0] % ARRAY_LEN(readers)](str_of((const char *)data + 1, size - 1), &origin, &out);
    assert(r == 0 ? out.n > 0
                  : out.n == 0 && (r == -ERR_BAD_JSON || r == -ERR_NOT_AN_OBJECT || r == -ERR_NO_MESSAGE || r == -ERR_BAD_CHECK_IN));
    if (r < 0)
        return 0;
    r = json_parse(buf_str(&out), &doc, NULL);
    assert(r == 0 && out.n < 200 * size + 65536);
    check_list(json_get(json_root(doc), STR("outcomes")));
    check_list(json_get(json_root(doc), STR("sessions")));
    assert(json_count(json_get(json_root(doc), STR("sessions"))) == 0 || out.n < 8 * size + 4096);
    check_values(json_get(json_root(doc), STR("feedback")));
    check_circumstances(json_get(json_get(json_root(doc), STR("feedback")), STR("data")));
    check_attachment(json_get(json_root(doc), STR("attachment")));
    check_values(json_get(json_root(doc), STR("check_in")));
    check_values(json_get(json_get(json_root(doc), STR("check_in")), STR("config")));
    return 0;
}
