/* admit.c: what of an envelope is taken (decisions.md "broken items", "too large"; protocol §2.2, §2.6).
 *
 * Lost framing refuses the request. A payload that is broken or too large costs that item only; when nothing at all survives because
 * everything was broken or too large, the request is refused with the first reason. Items of kinds that are not stored are skipped.
 *
 * SDKs put one event into an envelope (§2.6); several are all taken. The first one's id, which is also the answer's, is the envelope header's, else its
 * own, else one that is made here. A further one's is its own; without one it follows from the first one's and its place, so that an envelope that is
 * sent again is stored once. An id that the envelope has had already is a second copy. */
#include "admit.h"

#include "picket/base/error.h"
#include "picket/event/event.h"

void admit_init(struct admit *a)
{
    *a = (struct admit){0};
    arena_init(&a->arena);
}

void admit_done(struct admit *a)
{
    buf_done(&a->decoded);
    arena_done(&a->arena);
}

static struct id128 first_event_id(const struct envelope *e, struct id128 own)
{
    if (e->header.has_event_id)
        return e->header.event_id;
    return id_is_nil(&own) ? id_random() : own;
}

static struct id128 further_event_id(const struct admit *a, struct id128 own)
{
    struct id128 id = id_is_nil(&own) ? a->events[0].event_id : own;
    if (id_is_nil(&own))
        id.b[sizeof id.b - 1] ^= (uint8_t)a->n_events; /* below ADMIT_MAX_EVENTS: no two alike */
    if (id_is_nil(&id))
        id.b[0] = 0x80; /* it came from an id below a hundred; nil names no event */
    return id;
}

static bool is_taken(const struct admit *a, const struct id128 *id)
{
    for (unsigned i = 0; i < a->n_events; i++)
        if (id_eq(&a->events[i].event_id, id))
            return true;
    return false;
}

static void add_record(struct admit *a, const struct envelope *e, struct str payload, struct id128 event_id)
{
    if (a->n_events <= 1) { /* most have one: room for the others is made when the second comes */
        struct spool_record *more = arena_array(&a->arena, struct spool_record, a->n_events == 0 ? 1 : ADMIT_MAX_EVENTS);
        if (a->n_events)
            more[0] = a->events[0];
        a->events = more;
    }
    struct spool_record *record = &a->events[a->n_events++];
    *record = (struct spool_record){
        .id = id_v7(a->received_us),
        .event_id = event_id,
        .project_id = a->project_id,
        .received_us = a->received_us,
        .sent_at_us = e->header.sent_at_us,
        .kind = SPOOL_EVENT,
        .meta = e->header.json,
        .payload = payload,
    };
    memcpy(record->addr, a->addr, sizeof record->addr);
    a->event_bytes += payload.n + e->header.json.n;
}

/* Why the item is left out: 0 = it is taken, 1 = not of a stored kind, <0 = broken or too large. */
static int take_event(struct admit *a, const struct envelope *e, const struct envelope_item *item)
{
    if (item->payload.n > a->limits.event_max_bytes)
        return -ERR_ITEM_TOO_LARGE;
    struct id128 own;
    bool is_error;
    int r = event_peek(item->payload, &own, &is_error);
    if (r < 0)
        return r;
    if (!is_error) {
        a->unwanted = a->unwanted || item_kind_of(STR("transaction"))->fate == ITEM_UNWANTED;
        return 1;
    }
    struct id128 id = a->n_events == 0 ? first_event_id(e, own) : further_event_id(a, own);
    size_t bytes = item->payload.n + e->header.json.n;
    if (is_taken(a, &id) || a->n_events == ADMIT_MAX_EVENTS || (a->n_events && a->event_bytes + bytes > ADMIT_MAX_BYTES)) {
        a->n_surplus++;
        return 1;
    }
    add_record(a, e, item->payload, id);
    return 0;
}

static int read_items(struct admit *a, struct envelope *e)
{
    struct envelope_item item;
    int r, first_reason = 0;
    bool needs_id = false;
    while ((r = envelope_next(e, &item)) == 1) {
        needs_id = needs_id || item.kind->needs_event_id;
        a->unwanted = a->unwanted || item.kind->fate == ITEM_UNWANTED;
        int why = item.kind->fate == ITEM_STORED ? take_event(a, e, &item) : 1;
        a->n_skipped += why == 1;
        if (why < 0) {
            unsigned *counter = why == -ERR_ITEM_TOO_LARGE ? &a->n_large : &a->n_broken;
            ++*counter;
            if (why != -ERR_ITEM_TOO_LARGE && a->broken == 0)
                a->broken = why;
            if (first_reason == 0) {
                first_reason = why;
                a->at = item.at;
            }
        }
    }
    if (r < 0) {
        a->at = e->at;
        return r;
    }
    if (first_reason < 0 && a->n_events == 0 && a->n_skipped == 0)
        return first_reason;
    a->has_id = e->header.has_event_id || needs_id;
    a->id = a->n_events ? a->events[0].event_id : e->header.has_event_id ? e->header.event_id : id_random();
    return 0;
}

static int read_envelope(struct admit *a, struct str body)
{
    struct envelope e;
    int r = envelope_open(body, &a->arena, &e);
    if (r < 0) {
        a->at = e.at;
        return r;
    }
    r = credentials_join_dsn(&a->credentials, e.header.dsn, a->project_id);
    return r < 0 ? r : read_items(a, &e);
}

int admit_peek(struct admit *a)
{
    struct str start = a->body;
    struct envelope e;
    int r = 0;
    if (a->encoding != ENCODING_IDENTITY) {
        buf_clear(&a->decoded);
        r = encoding_peek(a->encoding, a->body, ENVELOPE_MAX_HEADER + 2, &a->decoded);
        start = buf_str(&a->decoded);
    }
    if (r < 0)
        return r;
    r = envelope_open(start, &a->arena, &e);
    a->at = e.at;
    return r < 0 ? r : credentials_join_dsn(&a->credentials, e.header.dsn, a->project_id);
}

int admit_run(struct admit *a, size_t max_decoded)
{
    struct str body = a->body;
    if (a->encoding != ENCODING_IDENTITY) {
        size_t max = max_decoded < a->limits.envelope_max_bytes ? max_decoded : a->limits.envelope_max_bytes;
        buf_clear(&a->decoded);
        int r = encoding_decode(a->encoding, body, max, &a->decoded);
        if (r == -ERR_TOO_LARGE && max < a->limits.envelope_max_bytes)
            return 1;
        if (r < 0) {
            buf_done(&a->decoded); /* the request may be answered much later */
            a->result = r;
            return 0;
        }
        body = buf_str(&a->decoded);
    }
    a->result = body.n > a->limits.envelope_max_bytes ? -ERR_TOO_LARGE : read_envelope(a, body);
    return 0;
}
