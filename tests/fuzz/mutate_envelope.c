/* mutate_envelope.c: makes envelopes out of envelopes. A change of bytes alone nearly always destroys the framing – a length that is off by one
 * ends the parse – and the code behind it is never reached. So the body is cut into its header and items, one of them is changed in a way
 * that means something, and the whole is put together again with lengths that are right, or wrong on purpose. One time in four the bytes are
 * changed plainly, so that broken framing stays a frequent guest. */
#include "fuzz.h"

#include "picket/protocol/envelope.h"

enum { ITEMS_MAX = 32, PIECE_MAX = 16384 };

struct piece {
    struct str header, payload;
};

struct parts {
    struct arena arena;
    struct str header, tail; /* tail: what is no item */
    struct piece items[ITEMS_MAX];
    unsigned n;
    uint64_t dice;
};

static unsigned roll(struct parts *p, unsigned sides)
{
    p->dice = p->dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(p->dice >> 33) % sides;
}

static void cut(struct parts *p, struct str body)
{
    struct envelope e;
    struct envelope_item item;
    p->tail = body;
    if (envelope_open(body, &p->arena, &e) < 0)
        return;
    p->header = e.header.json;
    p->tail = e.rest;
    while (p->n < ITEMS_MAX && envelope_next(&e, &item) == 1) {
        p->items[p->n++] = (struct piece){item.header, item.payload};
        p->tail = e.rest;
    }
}

/* The piece with some of its bytes changed by libFuzzer. */
static struct str shaken(struct parts *p, struct str s)
{
    size_t n = s.n < PIECE_MAX / 2 ? s.n : PIECE_MAX / 2;
    uint8_t *copy = arena_alloc(&p->arena, PIECE_MAX);
    if (n)
        memcpy(copy, s.p, n);
    return str_of((const char *)copy, LLVMFuzzerMutate(copy, n, PIECE_MAX));
}

static struct str any_type(struct parts *p)
{
    static const char *const types[] = {"event",   "event",    "event",         "transaction",  "attachment",
                                        "session", "sessions", "client_report", "user_report",  "feedback",
                                        "log",     "check_in", "profile",       "replay_event", "\\u0065vent",
                                        "EVENT",   "",         "event\\u0000",  "raw_security"};
    return str_from(types[roll(p, ARRAY_LEN(types))]);
}

/* `n` in most cases; else what a careless or a hostile sender writes. */
static struct str any_length(struct parts *p, size_t n)
{
    static const char *const odd[] = {"0",
                                      "-1",
                                      "1e3",
                                      "1.0",
                                      "0.5",
                                      "2147483648",
                                      "9223372036854775807",
                                      "9223372036854775808",
                                      "18446744073709551616",
                                      "1e400",
                                      "null",
                                      "true",
                                      "\"5\"",
                                      "[]",
                                      "NaN",
                                      "00",
                                      "-0"};
    unsigned i = roll(p, 4 * ARRAY_LEN(odd));
    if (i < ARRAY_LEN(odd))
        return str_from(odd[i]);
    return arena_printf(&p->arena, "%zu", i == ARRAY_LEN(odd) ? n + 1 : i == ARRAY_LEN(odd) + 1 ? n - 1 : n);
}

static struct str new_item_header(struct parts *p, size_t n)
{
    struct str type = any_type(p), length = any_length(p, n);
    if (roll(p, 4) == 0)
        return arena_printf(&p->arena, "{\"type\":\"%.*s\"}", STR_ARG(type));
    return arena_printf(&p->arena, "{\"length\":%.*s,\"type\":\"%.*s\"}", STR_ARG(length), STR_ARG(type));
}

static struct str new_header(struct parts *p)
{
    static const char *const fields[] = {"\"event_id\":\"9ec79c33ec9942ab8353589fcb2e04dc\"",
                                         "\"event_id\":\"9ec79c33-ec99-42ab-8353-589fcb2e04dc\"",
                                         "\"event_id\":null",
                                         "\"event_id\":\"00000000000000000000000000000000\"",
                                         "\"event_id\":7",
                                         "\"dsn\":\"http://9ec79c33ec9942ab8353589fcb2e04dc@h/42\"",
                                         "\"dsn\":\"http://h/1\"",
                                         "\"sent_at\":\"2026-01-01T00:00:00Z\"",
                                         "\"sent_at\":1",
                                         "\"sdk\":{\"name\":\"a\",\"version\":\"1\"}",
                                         "\"trace\":{}",
                                         "\"event_id\":\"x\""};
    struct str a = str_from(fields[roll(p, ARRAY_LEN(fields))]), b = str_from(fields[roll(p, ARRAY_LEN(fields))]);
    return roll(p, 3) ? arena_printf(&p->arena, "{%.*s}", STR_ARG(a)) : arena_printf(&p->arena, "{%.*s,\n%.*s}", STR_ARG(a), STR_ARG(b));
}

static void insert(struct parts *p, struct piece piece)
{
    unsigned at = roll(p, p->n + 1);
    if (p->n == ITEMS_MAX)
        return;
    memmove(p->items + at + 1, p->items + at, (p->n - at) * sizeof *p->items);
    p->items[at] = piece;
    p->n++;
}

static void change(struct parts *p)
{
    struct piece *item = p->n ? &p->items[roll(p, p->n)] : NULL;
    switch (item ? roll(p, 8) : 7) {
    case 0: /* a payload of another shape under a header that fits it */
        item->payload = shaken(p, item->payload);
        item->header = new_item_header(p, item->payload.n);
        break;
    case 1:
        item->header = new_item_header(p, item->payload.n);
        break;
    case 2:
        item->header = shaken(p, item->header);
        break;
    case 3:
        insert(p, *item);
        break;
    case 4:
        *item = p->items[--p->n];
        break;
    case 5:
        p->header = new_header(p);
        break;
    case 6:
        p->header = shaken(p, p->header);
        break;
    case 7:
        insert(p, (struct piece){new_item_header(p, 16), STR("{\"message\":\"m\"}\n")});
        break;
    }
}

static void put(struct buf *out, struct parts *p, struct str s, const char *end)
{
    buf_append_str(out, s);
    if (roll(p, 40) == 0)
        end = roll(p, 2) ? "\r\n" : "";
    buf_append_str(out, str_from(end));
}

static size_t join(struct parts *p, uint8_t *data, size_t max_size)
{
    AUTO_BUF struct buf out = {0};
    put(&out, p, p->header, "\n");
    for (unsigned i = 0; i < p->n; i++) {
        put(&out, p, p->items[i].header, "\n");
        put(&out, p, p->items[i].payload, "\n");
    }
    buf_append_str(&out, p->tail);
    struct str whole = str_take(buf_str(&out), max_size);
    memcpy(data, whole.p, whole.n);
    return whole.n;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
    struct parts p = {.header = STR("{}"), .dice = seed};
    if (roll(&p, 4) == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    arena_init(&p.arena);
    cut(&p, str_of((const char *)data, size));
    for (unsigned changes = 1 + roll(&p, 3); changes > 0; changes--)
        change(&p);
    size_t n = join(&p, data, max_size);
    arena_done(&p.arena);
    return n;
}
