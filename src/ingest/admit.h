/* admit.h: from the bytes of a request to spool records: decoding, framing, event ids. Pure: no loop, no request, any thread. Private to ingest. */
#pragma once

#include "picket/protocol/credentials.h"
#include "picket/protocol/encoding.h"
#include "picket/protocol/envelope.h"
#include "picket/spool/spool.h"

enum {
    ADMIT_MAX_EVENTS = 100,
    ADMIT_MAX_BYTES = 8 << 20
}; /* of one envelope; bytes: of events with its header, the first is always taken */

struct admit_limits {
    size_t envelope_max_bytes, event_max_bytes;
};

struct admit {
    /* in */
    struct admit_limits limits;
    enum content_encoding encoding;
    struct str body; /* borrowed, as sent */
    struct credentials credentials;
    uint64_t project_id;
    int64_t received_us;
    uint8_t addr[16];
    /* out */
    int result; /* 0 or the error that refuses the request */
    size_t at;  /* where in the decoded body */
    int broken; /* why the first broken item is broken; 0: none is */
    bool has_id;
    struct id128 id;                                            /* the answer's */
    unsigned n_events, n_broken, n_large, n_skipped, n_surplus; /* surplus: sound events beyond these bounds, or of an id that is taken */
    bool unwanted;                                              /* an item of a kind that is ITEM_UNWANTED was there */
    struct spool_record *events;                                /* in the arena; slices borrow `decoded` or `body` */
    /* own */
    size_t event_bytes; /* of `events` */
    struct buf decoded;
    struct arena arena;
};

void admit_init(struct admit *a);
void admit_done(struct admit *a);
/* For a request that names no key outside its body: takes the envelope's dsn, decoding no more than its header may need. <0 as `result`. */
MUST_CHECK int admit_peek(struct admit *a);
/* Fills the out fields. With max_decoded below the envelope limit a body that inflates beyond it gives 1: not decided, call again with more. */
MUST_CHECK int admit_run(struct admit *a, size_t max_decoded);
