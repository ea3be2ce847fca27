/* test_envelope.c: framing (protocol §2.1–2.3, §10.3, Appendix A; sdk-observed "Envelope framing"). A row of data/envelope.jsonl is a body
 * and either its items or the error with its offset. */
#include "byte_cases.h"

#include "picket/protocol/envelope.h"

static struct str kind_name(const struct item_kind *kind)
{
    return str_eq(kind->name, STR("event")) ? STR("event") : kind->needs_event_id ? STR("needs_id") : STR("other");
}

static bool borrowed(const struct envelope *e, struct str s)
{
    return s.p >= e->body.p && s.p + s.n <= e->body.p + e->body.n;
}

static bool check_header(const struct byte_case *c, const struct envelope *e)
{
    char id[ID_HEX + 1] = "";
    if (e->header.has_event_id)
        id_hex(&e->header.event_id, id);
    return case_str(c, "event_id", str_from(id), case_bytes(c, STR("event_id"))) &&
           case_str(c, "dsn", e->header.dsn, case_bytes(c, STR("dsn"))) &&
           case_int(c, "sent_at_us", e->header.sent_at_us, case_i64(c, STR("sent_at_us"), 0)) &&
           case_int(c, "header borrowed", borrowed(e, e->header.json) && e->header.json.p[0] == '{', true);
}

static bool check_item(const struct byte_case *c, const struct envelope *e, const struct envelope_item *item, const struct json *row)
{
    struct byte_case wanted = {row, c->arena};
    struct str type = case_bytes(&wanted, STR("type"));
    return case_str(c, "type", item->kind->name, item_kind_of(type)->name) &&
           case_str(c, "kind", kind_name(item->kind), case_bytes(&wanted, STR("kind"))) &&
           case_str(c, "payload", item->payload, case_bytes(&wanted, STR("payload"))) &&
           case_int(c, "payload borrowed", borrowed(e, item->payload) && borrowed(e, item->header), true) &&
           case_int(c, "at", (int64_t)item->at, item->payload.p - e->body.p);
}

static bool check_row(const struct byte_case *c)
{
    struct envelope e;
    struct envelope_item item;
    struct str body = case_bytes(c, STR("body"));
    const struct json *items = json_get(c->row, STR("items"));
    bool wants_error = case_bytes(c, STR("error")).n > 0;
    size_t n = 0;
    int r = envelope_open(body, c->arena, &e);
    if (r == 0 && !wants_error && !check_header(c, &e))
        return false;
    while (r >= 0 && (r = envelope_next(&e, &item)) == 1) {
        if (!wants_error && !check_item(c, &e, &item, json_at(items, n)))
            return false;
        n++;
    }
    if (!case_result(c, r))
        return false;
    return wants_error ? case_int(c, "at", (int64_t)e.at, case_i64(c, STR("at"), -1))
                       : case_int(c, "items", (int64_t)n, (int64_t)json_count(items));
}

static void parses_the_table(void **state)
{
    (void)state;
    run_byte_cases("envelope.jsonl", check_row);
}

/* Cut at every byte: no prefix of a good envelope may crash, and what comes out of it are prefixes of the same items. */
static bool check_cuts(const struct byte_case *c)
{
    struct str body = case_bytes(c, STR("body"));
    for (size_t n = 0; n < body.n; n++) {
        AUTO_FREE char *exact = malloc(n ? n : 1); /* of its exact size: a sanitizer sees the first byte read beyond */
        struct envelope e;
        struct envelope_item item;
        struct arena a;
        assert_non_null(exact);
        if (n)
            memcpy(exact, body.p, n);
        arena_init(&a);
        int r = envelope_open(str_of(exact, n), &a, &e);
        while (r >= 0 && (r = envelope_next(&e, &item)) == 1)
            assert_true(borrowed(&e, item.payload));
        assert_true(r <= 0 && e.at <= n);
        arena_done(&a);
    }
    return true;
}

static void survives_every_cut(void **state)
{
    (void)state;
    run_byte_cases("envelope.jsonl", check_cuts);
}

/* Further ones are told as what they are, up to a number; then all that is left as one. */
static void tells_surplus_items(void **state)
{
    (void)state;
    AUTO_BUF struct buf body = {0};
    struct envelope e;
    struct envelope_item item;
    struct arena a;
    unsigned n = 0, n_surplus = 0;
    int r;
    arena_init(&a);
    buf_append_str(&body, STR("{}\n"));
    for (unsigned i = 0; i < ENVELOPE_MAX_TOLD + 2; i++)
        buf_append_str(&body, STR("{\"type\":\"session\"}\n{}\n"));
    buf_append_str(&body, STR("no header\n"));
    assert_int_equal(envelope_open(buf_str(&body), &a, &e), 0);
    while ((r = envelope_next(&e, &item)) == 1 && n < ENVELOPE_MAX_TOLD) {
        n_surplus += item.is_surplus;
        assert_true(item.is_surplus == (n >= ENVELOPE_MAX_ITEMS) && item.kind == item_kind_of(STR("session")));
        assert_true(str_eq(item.payload, STR("{}")));
        n++;
    }
    assert_int_equal(n_surplus, ENVELOPE_MAX_TOLD - ENVELOPE_MAX_ITEMS);
    assert_true(r == 1 && item.is_surplus && item.kind == item_kind_of(STR("")) && item.header.n == 0);
    assert_true(item.payload.p == body.p + item.at && item.payload.p + item.payload.n == body.p + body.n);
    assert_int_equal(envelope_next(&e, &item), 0);
    arena_done(&a);
}

/* Of those that are told it is checked. */
static void surplus_items_are_framed(void **state)
{
    (void)state;
    AUTO_BUF struct buf body = {0};
    struct envelope e;
    struct envelope_item item;
    struct arena a;
    int r;
    arena_init(&a);
    buf_append_str(&body, STR("{}\n"));
    for (int i = 0; i <= ENVELOPE_MAX_ITEMS; i++)
        buf_append_str(&body, STR("{\"type\":\"session\"}\n{}\n"));
    size_t at = body.n;
    buf_append_str(&body, STR("no header\n"));
    assert_int_equal(envelope_open(buf_str(&body), &a, &e), 0);
    while ((r = envelope_next(&e, &item)) == 1)
        continue;
    assert_int_equal(r, -ERR_BAD_ITEM_HEADER);
    assert_int_equal(e.at, at);
    arena_done(&a);
}

static void copies_nothing_of_items(void **state)
{
    (void)state;
    AUTO_BUF struct buf body = {0};
    struct envelope e;
    struct envelope_item item;
    struct arena a;
    arena_init(&a);
    buf_append_str(&body, STR("{}\n{\"length\":2,\"type\":\""));
    for (int i = 0; i < 1000; i++)
        buf_append_str(&body, STR("\\u0000\\u00e9"));
    buf_append_str(&body, STR("\"}\n{}\n"));
    assert_int_equal(envelope_open(buf_str(&body), &a, &e), 0);
    size_t before = a.bytes;
    assert_int_equal(envelope_next(&e, &item), 1);
    assert_true(a.bytes == before && item.kind == item_kind_of(STR("")));
    arena_done(&a);
}

static void put_header_of(struct buf *body, size_t n)
{
    size_t start = body->n;
    buf_append_str(body, STR("{\"a\":\""));
    while (body->n - start < n - 2)
        buf_append_char(body, 'x');
    buf_append_str(body, STR("\"}"));
}

static void bounds_the_size_of_headers(void **state)
{
    (void)state;
    for (int over = 0; over < 2; over++) {
        AUTO_BUF struct buf header = {0}, item_header = {0};
        struct envelope e;
        struct envelope_item item;
        struct arena a;
        arena_init(&a);
        put_header_of(&header, ENVELOPE_MAX_HEADER + (size_t)over);
        assert_int_equal(envelope_open(buf_str(&header), &a, &e), over ? -ERR_BAD_ENVELOPE_HEADER : 0);
        buf_append_str(&item_header, STR("{}\n"));
        put_header_of(&item_header, ENVELOPE_MAX_HEADER + (size_t)over);
        assert_int_equal(envelope_open(buf_str(&item_header), &a, &e), 0);
        assert_int_equal(envelope_next(&e, &item), over ? -ERR_BAD_ITEM_HEADER : 1);
        arena_done(&a);
    }
}

/* A large payload is neither copied nor scanned when its length is known, however many items stand before it. */
static void large_payloads_cost_nothing(void **state)
{
    (void)state;
    enum { PAYLOAD = 64 << 20, SMALL = 900 };
    AUTO_BUF struct buf body = {0};
    struct envelope e;
    struct envelope_item item;
    struct arena a;
    int r, n = 0;
    arena_init(&a);
    buf_append_str(&body, STR("{}\n"));
    for (int i = 0; i < SMALL; i++)
        buf_append_str(&body, STR("{\"type\":\"session\"}\n{}\n"));
    buf_append_str(&body, STR("{\"type\":\"attachment\",\"length\":67108864}\n"));
    buf_reserve(&body, PAYLOAD);
    memset(body.p + body.n, '\n', PAYLOAD);
    body.n += PAYLOAD;
    assert_int_equal(envelope_open(buf_str(&body), &a, &e), 0);
    while ((r = envelope_next(&e, &item)) == 1)
        n++;
    assert_int_equal(r, 0);
    assert_int_equal(n, SMALL + 1);
    assert_int_equal(item.payload.n, PAYLOAD);
    assert_true(a.bytes < 64 << 10); /* type names only */
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_the_table),
        cmocka_unit_test(survives_every_cut),
        cmocka_unit_test(tells_surplus_items),
        cmocka_unit_test(surplus_items_are_framed),
        cmocka_unit_test(copies_nothing_of_items),
        cmocka_unit_test(bounds_the_size_of_headers),
        cmocka_unit_test(large_payloads_cost_nothing),
    };
    return cmocka_run_group_tests_name("envelope", tests, NULL, NULL);
}
