/* admit.h: from the bytes of a request to spool records: decoding, framing, event ids. Pure: no loop, no request, any thread. Private to ingest. */
#pragma once

#include "picket/event/security.h"
#include "picket/protocol/credentials.h"
#include "picket/protocol/encoding.h"
#include "picket/protocol/envelope.h"
#include "picket/spool/spool.h"

enum {
    ADMIT_MAX_RECORDS = 100,
    ADMIT_MAX_BYTES = 8 << 20,
    ADMIT_MAX_LEFT = 32
}; /* of one envelope; bytes: of items with its header, the first is always taken */

struct admit_limits {
    size_t envelope_max_bytes, event_max_bytes;
};

/* Items that are not taken: alike ones are one entry. */
struct admit_left {
    const struct item_kind *kind;
    int reason; /* 0: its kind is not stored; else the error */
    unsigned n;
    uint64_t bytes;
};

enum admit_form {
    ADMIT_ENVELOPE,
    ADMIT_STORE,  /* one event: JSON, or in one of the wrappings of old SDKs (protocol §1.6) */
    ADMIT_REPORT, /* what a browser reports by itself (§3.9) */
    ADMIT_WORDS,  /* what somebody wrote about an event (§7.4) */
};

struct admit {
    /* in */
    struct admit_limits limits;
    enum admit_form form;
    struct str own_authority; /* of this server's DSNs, where the envelope's dsn names the project (a tunnel); else empty. Borrowed */
    enum content_encoding encoding;
    struct str body; /* borrowed, as sent */
    struct credentials credentials;
    uint64_t project_id, key_id;
    int64_t received_us;
    uint8_t addr[16];
    struct security_origin reported; /* what the request says about security reports. Borrowed */
    /* out */
    int result; /* 0 or the error that refuses the request */
    size_t at;  /* where in the decoded body */
    bool has_id;
    struct id128 id;              /* the answer's */
    unsigned n_records, n_events; /* n_events: of the records */
    struct spool_record *records; /* in the arena; slices borrow `decoded` or `body` */
    unsigned n_left;
    struct admit_left left[ADMIT_MAX_LEFT];
    bool unwanted; /* an item of a kind that is ITEM_UNWANTED was there */
    /* own */
    size_t record_bytes; /* of `records` */
    struct buf decoded, unwrapped, scratch;
    struct arena arena;
};

/* What a body of that form is, as an item of an envelope. An envelope: of no kind. */
const struct item_kind *admit_kind(enum admit_form form);

void admit_init(struct admit *a);
void admit_done(struct admit *a);
/* For a request that names no key outside its body: takes the envelope's dsn, decoding no more than its header may need. <0 as `result`. Only
 * for ADMIT_ENVELOPE. */
MUST_CHECK int admit_peek(struct admit *a);
/* Fills the out fields. With max_decoded below the envelope limit a body that inflates beyond it gives 1: not decided, call again with more. */
MUST_CHECK int admit_run(struct admit *a, size_t max_decoded);
