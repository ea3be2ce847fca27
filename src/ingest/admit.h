/* admit.h: from the bytes of a request to spool records: decoding, framing, event ids. No loop, no request, any thread; pure, but for attachments,
 * whose bytes go to the disk before their records are made: then it blocks. Private to ingest. */
#pragma once

#include "limit.h"
#include "picket/blob/blob.h"
#include "picket/event/items.h"
#include "picket/event/native.h"
#include "picket/event/security.h"
#include "picket/protocol/credentials.h"
#include "picket/protocol/encoding.h"
#include "picket/protocol/envelope.h"
#include "picket/spool/spool.h"

/* Of one envelope. Records: more than the limits of all kinds together (protocol §2.5) and an event. Bytes: of records with the envelope's header, attachments
 * apart; the first is always taken. Reports (§3.9): of those that were left out no more are looked into; so many may be read where nothing may take long. */
enum { ADMIT_MAX_RECORDS = 256, ADMIT_MAX_BYTES = 12 << 20, ADMIT_MAX_LEFT = 32, ADMIT_MAX_REPORTS = 1000, ADMIT_INLINE_REPORTS = 50 };

struct admit_limits {
    size_t envelope_max_bytes, event_max_bytes, check_in_max_bytes;
    size_t records_max_bytes;                           /* all of an envelope; at most ADMIT_MAX_BYTES */
    size_t attachment_max_bytes, attachments_max_bytes; /* one; all of an envelope (protocol §2.5) */
    unsigned attachments_max;
    struct admit_share {
        size_t bytes;
        unsigned items;
    } sessions, client_reports; /* all of an envelope */
};

/* Items that are not taken: alike ones are one entry. */
struct admit_left {
    const struct item_kind *kind;
    int reason;        /* 0: its kind is not stored; else the error */
    const char *quota; /* of -ERR_RATE_LIMITED: which one; static */
    unsigned n;
    uint64_t bytes, quantity; /* quantity: as accounts and quotas count it (category.h) */
    uint64_t spans;           /* of transactions: they count beside these (protocol §4.5) */
};
/* Attachments that are no records: what they hold was made part of the event in records[with], and their fate is the event's. They count as form data. */
struct admit_joined {
    unsigned n, with;
    uint64_t bytes;
};
/* What of an item its record does not say. */
struct admit_taken {
    const struct item_kind *kind;
    uint64_t bytes, quantity;
    bool is_counted;     /* by the quotas (limit.c) */
    const char *refusal; /* by which of them, once it was; static. They are asked once */
};
/* An attachment whose bytes are not written yet. */
struct admit_file {
    struct attachment what; /* in the arena */
    struct str bytes;       /* borrows what the records borrow */
};

enum admit_form {
    ADMIT_ENVELOPE,
    ADMIT_STORE,    /* one event: JSON, or in one of the wrappings of old SDKs (protocol §1.6) */
    ADMIT_REPORT,   /* what a browser reports by itself (§3.9) */
    ADMIT_NEL,      /* what it reports about the network: an array; not stored */
    ADMIT_WORDS,    /* what somebody wrote about an event (§7.4) */
    ADMIT_CRON,     /* one check-in as JSON, of the monitor `slug` */
    ADMIT_MINIDUMP, /* a form with a minidump, or the bare dump (§1.6) */
    ADMIT_UNREAL,   /* an archive of Unreal's crash reporter (§1.6) */
    ADMIT_TRACES,   /* spans of OpenTelemetry (§7.7): not stored, and not looked into */
    ADMIT_LOGS,     /* the same of its logs */
    ADMIT_FILES,    /* a form whose files are attachments of the event `id`, which is set before (§1.6) */
};

struct admit {
    /* in */
    struct admit_limits limits;
    enum admit_form form;
    struct blob_store *blobs; /* where attachments go; NULL: this thread must not block, see admit_run */
    struct quota *quota;      /* asked before they go there; NULL: nothing is limited */
    struct str own_authority; /* of this server's DSNs, where the envelope's dsn names the project (a tunnel); else empty. Borrowed */
    struct str slug;          /* of ADMIT_CRON; borrowed */
    enum content_encoding encoding;
    struct str body; /* borrowed, as sent */
    struct credentials credentials;
    uint64_t project_id, key_id;
    int64_t received_us;
    uint8_t addr[16];
    struct security_origin reported; /* what the request says about security reports. Borrowed */
    struct str content_type;         /* of ADMIT_MINIDUMP and ADMIT_FILES. Borrowed */
    /* out */
    int result;   /* 0 or the error that refuses the request */
    bool is_read; /* its items were: each is among `taken` or `left`, also when the request is refused */
    size_t at;    /* where in the decoded body */
    bool has_id;
    struct id128 id;              /* the answer's */
    unsigned n_records, n_events; /* n_events: of the records */
    unsigned records_cap;
    struct spool_record *records; /* in the arena; slices borrow `decoded` or `body` */
    struct admit_taken *taken;    /* in the arena: for each record */
    unsigned n_left;
    struct admit_left left[ADMIT_MAX_LEFT];
    struct admit_joined joined;
    bool unwanted;   /* an item of a kind that is ITEM_UNWANTED was there */
    bool over_quota; /* an attachment was left out because its project, or all of them, have stored as much as they may */
    struct limited limited;
    /* own */
    const struct item_kind *kind; /* of the item that is being taken */
    const char *quota_reason;     /* of the last -ERR_RATE_LIMITED; static */
    size_t record_bytes;          /* of `records` */
    struct admit_share n_sessions, n_client_reports;
    unsigned n_reports; /* that were looked into */
    unsigned n_attachments;
    size_t attachment_bytes;
    unsigned n_files, files_cap;
    struct admit_file *files;   /* in the arena */
    bool elsewhere;             /* it must be run where it may block, or take its time */
    bool of_transaction;        /* attachments, if there are any; known where `blobs` are */
    bool has_crash;             /* something was noted in `crash` that makes an event */
    struct native_report crash; /* the parts of a crash report so far; of what comes in, unreal_user is set before */
    struct native_field *crash_fields;
    size_t crash_copied; /* bytes of the fields that lie in the arena */
    struct buf decoded, unwrapped, scratch;
    struct arena arena;
};

/* What a body of that form is, as an item of an envelope. An envelope: of no kind. */
const struct item_kind *admit_kind(enum admit_form form);

void admit_init(struct admit *a);
/* For the same request on another thread: what is in, but `body` and `blobs`. What the other borrows of the request is copied. */
void admit_init_like(struct admit *a, const struct admit *from);
void admit_done(struct admit *a);
void admit_forget(struct admit *a); /* the bytes that `records` borrow: their meta and payload; what else is out stays */
/* For a request that names no key outside its body: takes the envelope's dsn, decoding no more than its header may need. <0 as `result`. Only
 * for ADMIT_ENVELOPE. */
MUST_CHECK int admit_peek(struct admit *a);
/* One more item is left out; or n of them, if that is not 0. */
void admit_leave(struct admit *a, const struct admit_left *one);
void admit_leave_item(struct admit *a, const struct item_kind *kind, int reason, size_t bytes);
void admit_leave_joined(struct admit *a, int reason); /* all of them, with the event that they were part of */
/* Fills the out fields. 1: not decided: with max_decoded below the envelope limit a body inflates beyond it, or there are attachments and no
 * `blobs`, or more than ADMIT_INLINE_REPORTS reports. Begin again with another admit. */
MUST_CHECK int admit_run(struct admit *a, size_t max_decoded);

/* ---- attach.c
 * One attachment, of an envelope's item or of a part of a form, waits for admit_attach_settle. 1, or what the limits say: -ERR_ITEM_TOO_LARGE,
 * -ERR_TOO_MANY_ATTACHMENTS. Without `blobs`: 0, and `elsewhere` is set. */
MUST_CHECK int admit_attach(struct admit *a, const struct attachment *attachment, struct str bytes);
/* The same for items of an envelope: attachment, form_data. */
MUST_CHECK int admit_attach_item(struct admit *a, const struct envelope_item *item);
/* A body of ADMIT_FILES. -ERR_BAD_BOUNDARY, -ERR_BAD_MULTIPART, -ERR_TOO_MANY_PARTS; or why not one of its files was taken. */
MUST_CHECK int admit_files(struct admit *a, struct str body);
/* When all is read and a->id known: asks the quotas for the event that the files belong to, if it is there, then makes their bytes durable and adds records
 * that name them. What cannot be stored is left out. Blocks. 1: something was stored; 0: nothing waited; <0: why the first was not, and none was:
 * -ERR_TOO_MANY_ITEMS, -ERR_RATE_LIMITED, or what blob_put says. */
int admit_attach_settle(struct admit *a, const struct envelope *e);

/* ---- crash.c */
/* Whole bodies: of ADMIT_MINIDUMP and ADMIT_UNREAL. Block. -ERR_BAD_BOUNDARY, -ERR_BAD_MULTIPART, -ERR_TOO_MANY_PARTS, -ERR_NO_MINIDUMP,
 * -ERR_BAD_MINIDUMP, -ERR_BAD_UNREAL, what encoding_decode says, -ERR_SURPLUS_EVENT. */
MUST_CHECK int admit_minidump(struct admit *a, struct str body);
MUST_CHECK int admit_unreal(struct admit *a, struct str body);
/* An item unreal_report: as admit_attach_item. */
MUST_CHECK int admit_unreal_item(struct admit *a, const struct envelope_item *item);
/* An attachment of that type may belong to a crash report. */
void admit_crash_note(struct admit *a, struct str type, struct str bytes);
/* An item that is a crash report, or describes an event, by its type (protocol §3.1): its bytes are not looked at. */
bool admit_crash_makes_event(const struct envelope_item *item);
/* An attachment of that type describes the event: it becomes part of it, and there is nothing to keep. 1: noted; <0: all of it, or its end, cannot be read:
 * -ERR_BAD_MSGPACK, -ERR_ITEM_TOO_LARGE, -ERR_SURPLUS_EVENT. */
bool admit_crash_joins(struct str type);
MUST_CHECK int admit_crash_join(struct admit *a, struct str type, struct str bytes);
/* The same for a form's fields, [[name, value], …]. 1; <0 when one cannot be read, also if the others were noted: -ERR_BAD_JSON, -ERR_TOO_MANY_PARTS,
 * -ERR_ITEM_TOO_LARGE (all of them together). */
MUST_CHECK int admit_crash_form(struct admit *a, const struct json *pairs);
/* Makes the event of what was noted, or adds it to the envelope's event. 0: there is nothing of the kind; 1: done; <0: the event cannot be taken. */
MUST_CHECK int admit_crash_settle(struct admit *a, const struct envelope *e);

/* ---- reports.c */
/* The reports of an item, which the caller has opened and closes. 1: one is taken; 0: `elsewhere` is set; <0: none is, and why not the last that is told. Once
 * there is no room for one, the others are counted and no event is made of them. */
MUST_CHECK int admit_reports(struct admit *a, const struct envelope *e, const struct envelope_item *item, struct security_reader *reader);

/* ---- admit.c for attach.c, crash.c and reports.c */
MUST_CHECK int admit_add_event(struct admit *a, const struct envelope *e,
                               struct str payload);                                  /* borrows; no id of its own. 1, or why not */
struct spool_record *admit_first_event(const struct admit *a);                       /* NULL: there is none yet */
int admit_take_event(struct admit *a, const struct envelope *e, struct str payload); /* 1, or why not */
bool admit_has_room(const struct admit *a, size_t bytes);
void admit_add_record(struct admit *a, const struct envelope *e, enum spool_kind kind, struct str payload, struct id128 event_id);
