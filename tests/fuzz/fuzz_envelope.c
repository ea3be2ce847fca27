/* fuzz_envelope.c: whatever the body is, every slice lies in it, in order, and is followed by a newline or the end; the parse ends. */
#include "fuzz.h"

#include "picket/base/error.h"
#include "picket/protocol/envelope.h"

static bool inside(struct str outer, struct str s)
{
    return s.p >= outer.p && s.p + s.n <= outer.p + outer.n;
}

static void check_end(struct str body, struct str s)
{
    const char *end = s.p + s.n;
    assert(inside(body, s) && (end == body.p + body.n || *end == '\n'));
}

static void check_items(struct envelope *e)
{
    struct envelope_item item;
    size_t last = 0;
    unsigned n = 0;
    int r;
    while ((r = envelope_next(e, &item)) == 1) {
        if (item.header.n) /* else it is what nobody looked at */
            check_end(e->body, item.header);
        check_end(e->body, item.payload);
        assert(item.payload.p == e->body.p + item.at && item.at >= last && str_is_utf8(item.header) && item.kind);
        assert(item.is_surplus == (n >= ENVELOPE_MAX_ITEMS) && (item.header.n || n == ENVELOPE_MAX_TOLD));
        last = item.at + item.payload.n;
        n++;
    }
    assert(n <= ENVELOPE_MAX_TOLD + 1 && e->at <= e->body.n);
    if (r == 0)
        assert(e->rest.n == 0);
    else
        assert(r == -ERR_BAD_ITEM_HEADER || r == -ERR_NO_NEWLINE || r == -ERR_TRUNCATED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct envelope e;
    arena_init(&a);
    int r = envelope_open(str_of((const char *)data, size), &a, &e);
    assert(e.at <= size);
    if (r == 0) {
        check_end(e.body, e.header.json);
        check_items(&e);
    } else {
        assert(r == -ERR_EMPTY_ENVELOPE || r == -ERR_BAD_ENVELOPE_HEADER || r == -ERR_NO_NEWLINE || r == -ERR_BAD_EVENT_ID);
    }
    arena_done(&a);
    return 0;
}
