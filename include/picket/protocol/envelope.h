/* envelope.h: framing of envelopes (protocol §2.1–2.3). A pull parser that copies nothing: every slice borrows the body. */
#pragma once

#include "picket/base/id.h"
#include "picket/json/json.h"
#include "picket/protocol/item.h"

/* Items: what follows is told, to be left out and counted. Told: where nobody looks any further, so that an envelope of the least items possible takes
 * milliseconds. A longer header is as if it were not JSON. */
enum { ENVELOPE_MAX_ITEMS = 1000, ENVELOPE_MAX_TOLD = 100 * 1000, ENVELOPE_MAX_HEADER = 256 << 10 };

struct envelope_header {
    struct str json; /* the header as it stands in the body */
    struct str dsn;  /* "" when absent or not a string */
    struct id128 event_id;
    bool has_event_id;  /* false for null and the nil id as well */
    int64_t sent_at_us; /* 0: absent or not a time */
};

struct envelope_item {
    const struct item_kind *kind; /* never NULL */
    struct str header;            /* JSON text */
    struct str payload;
    size_t at;       /* offset of the payload in the body */
    bool is_surplus; /* beyond ENVELOPE_MAX_ITEMS; the one beyond ENVELOPE_MAX_TOLD is all that is left of the body, of no kind */
};

struct envelope {
    struct str body;     /* all of it */
    struct str rest;     /* what is not read yet */
    struct arena *arena; /* for the few unescaped strings of the envelope's header; nothing of its items, which are many */
    struct envelope_header header;
    unsigned n_items;
    size_t at; /* offset of the failure, for the answer's `causes` */
};

/* Reads the envelope header. -ERR_EMPTY_ENVELOPE, -ERR_BAD_ENVELOPE_HEADER, -ERR_BAD_EVENT_ID (a non-null event_id that is no
 * 128-bit id), -ERR_NO_NEWLINE; ret->at is set then too. */
MUST_CHECK int envelope_open(struct str body, struct arena *arena, struct envelope *ret);
/* 1: *ret filled; 0: end; <0: -ERR_BAD_ITEM_HEADER, -ERR_NO_NEWLINE, -ERR_TRUNCATED, offset in e->at. */
MUST_CHECK int envelope_next(struct envelope *e, struct envelope_item *ret);
