/* fuzz_security.c: what browsers report by themselves. Each report becomes an event that the digest can read, that has a title, that its own class
 * names, and that is not much longer than what it was made of; or it is left out and leaves nothing behind. */
#include "fuzz.h"

#include "picket/base/error.h"
#include "picket/event/security.h"

static const struct security_origin origin = {.received_us = INT64_C(1795262400000000),
                                              .release = STR("r\xff"),
                                              .environment = STR("e"),
                                              .user_agent = STR("Mozilla/5.0 \xc3\x28"),
                                              .origin = STR("https://shop.example.com")};

static void check_event(struct str event)
{
    AUTO_JSON struct json_doc *doc = NULL;
    AUTO_BUF struct buf copy = {0};
    struct event_origin receipt = {.received_us = origin.received_us};
    struct event_row row = {.project_id = 7, .received_us = origin.received_us, .timestamp_us = origin.received_us};
    struct event_fields fields;
    struct arena arena;
    struct str type;
    arena_init(&arena);
    int r = event_read(event, &receipt, &arena, &fields);
    assert(r == 0 && fields.class == EVENT_REPORT && fields.title.n > 0 && str_eq(fields.title, fields.value));
    assert(fields.timestamp_us <= origin.received_us && fields.timestamp_us > origin.received_us - INT64_C(86400000001));
    r = json_parse(event, &doc, NULL);
    assert(r == 0 && json_str_raw(json_get(json_root(doc), STR("type")), &type) && str_eq(type, fields.type));
    assert(json_type(json_get(json_root(doc), type)) == JSON_OBJECT);
    r = event_normalise(event, &row, &copy);
    assert(r == 0);
    arena_done(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_BUF struct buf event = {0};
    struct security_reader reader;
    size_t total = 0, n = 0;
    int r = security_open(str_of((const char *)data, size), &reader);
    if (r < 0) {
        assert(r == -ERR_BAD_JSON || r == -ERR_BAD_REPORT);
        return 0;
    }
    while ((r = security_next(&reader, &origin, &event)) != 0) {
        assert(r == 1 ? event.n > 0 : event.n == 0 && (r == -ERR_BAD_REPORT || r == -ERR_REPORT_TYPE || r == -ERR_JUNK_REPORT));
        if (r == 1)
            check_event(buf_str(&event));
        total += event.n;
        n++;
    }
    assert(n <= size && total <= 40 * size + 4096 * n);
    security_done(&reader);
    return 0;
}
