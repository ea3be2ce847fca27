/* items.h: what envelope items other than events mean. Each reader checks an item's payload and appends to `out` what digest_items()
 * (sql/migrations) stores of it, as one JSON object; nothing on failure. The door reads an item to know whether it is sound, the digest to store
 * it: what is sound at the door is sound in the digest, because both ask the same function of the same bytes. Pure; any thread; nothing
 * recurses. Over-long texts are cut, never refused.
 *
 * Where an item may turn out to be a copy, the object also has "bytes", the length of the payload, and "client", name/version of the SDK, if it is known: what
 * is told then.
 *
 * Attachments are the exception: their bytes are not looked at, and what is read is what the door wrote about them.
 *
 * Errors: -ERR_BAD_JSON, -ERR_NOT_AN_OBJECT; feedback without a text, user reports with neither a text nor an event: -ERR_NO_MESSAGE;
 * check-ins: -ERR_BAD_CHECK_IN. */
#pragma once

#include "picket/base/buf.h"
#include "picket/event/event.h"
#include "picket/event/scrub.h"

enum {
    ITEMS_MAX_ENTRIES = 1000,   /* of a client report or of session aggregates; further ones are left out */
    ITEMS_MAX_MESSAGE = 4096,   /* this and the next: code points (protocol §7.3, §7.4) */
    ITEMS_MAX_NAME = 256,       /* names, addresses, URLs */
    ITEMS_MAX_AGE_DAYS = 5,     /* of sessions (§7.1) */
    ITEMS_MAX_REPORT_DAYS = 30, /* of client reports */
    ITEMS_MAX_FILE_NAME = 255,  /* code points */
    ITEMS_MAX_TYPE = 100,       /* bytes of a content type or an attachment's type */
    ITEMS_HASH_HEX = 64,
    ITEMS_MAX_SLUG = 50,
};

struct item_origin {
    int64_t received_us;
    int64_t sent_at_us; /* the envelope header's, 0 when absent: times of sessions and client reports are corrected as an event's */
    uint64_t project_id, key_id;      /* the latter only for what is told; 0: not known */
    struct id128 event_id;            /* the envelope header's, or nil */
    const struct scrub_rules *rules;  /* the project's, for what people write and call their files; NULL: SCRUB_DEFAULTS */
    struct str client_address;        /* of feedback: as in struct event_row */
    struct str sdk_name, sdk_version; /* who sent it, by the envelope's header; "": not known */
};

/* What to take out of texts. */
static inline const struct scrub_rules *item_rules(const struct item_origin *origin)
{
    static const struct scrub_rules defaults = SCRUB_DEFAULTS;
    return origin->rules ? origin->rules : &defaults;
}

/* Client reports (§4.7): {"outcomes": [{"h": epoch seconds, "c": category, "o": outcome, "r": reason, "n": quantity}, …]}; with "left" when the report is of
 * a time that cannot be, or is too long ago, and then it counts as one that is invalid. */
MUST_CHECK int client_report_read(struct str payload, const struct item_origin *origin, struct buf *out);

/* Sessions (§7.1): {"release", "environment", "sessions": […], "outcomes": […], "left": […]}. One that is too old or has no release is left out and counted as
 * invalid; "left" tells why, as the door's cases do (ingest/ledger.c).
 * An update has "sid" and "seq"; of aggregates one entry is a minute. Both: "at" (epoch seconds of the start), "user" (a UUID made of project and did) and total,
 * exited, errored, abnormal, unhandled, crashed, each absent for none. `errored` holds the others, too. An entry is hardly longer than what it was read from:
 * a batch of many is bounded by that. */
MUST_CHECK int session_read(struct str payload, const struct item_origin *origin, struct buf *out);
MUST_CHECK int sessions_read(struct str payload, const struct item_origin *origin, struct buf *out);

/* Feedback (§7.3, an event with contexts.feedback) and user reports (§7.4): {"feedback": {"id", "event_id" (null when of none), "name", "email",
 * "message", "url", "source", "release", "environment"}, "outcomes": […]}. Feedback also has "data": what of "platform", "sdk", "request", "tags", "user"
 * and "contexts" (but for "feedback") came with it, scrubbed, and each as event_normalise() writes it, without its remarks. Nothing lies deeper in it
 * than PostgreSQL takes in a jsonb. */
MUST_CHECK int feedback_read(struct str payload, const struct item_origin *origin, struct buf *out);
MUST_CHECK int user_report_read(struct str payload, const struct item_origin *origin, struct buf *out);

/* An attachment (§3.1) as its item header or its part of a form says it. */
struct attachment {
    struct str name;         /* any bytes; "": unnamed. Controls become '_', the rest is well-formed UTF-8 when it is written */
    struct str content_type; /* "": not known, as is what could not stand in a header */
    struct str type;         /* event.attachment (the default), event.minidump, event.view_hierarchy, … */
    struct str sha256;       /* ITEMS_HASH_HEX digits: where its bytes are */
    uint64_t bytes;
};
/* Writes the payload of its spool record. */
void attachment_write(const struct attachment *attachment, struct buf *out);
/* Reads that payload: {"attachment": {"sha256", "size", "name", "content_type", "attachment_type"}, "outcomes": […]}. The name is scrubbed as a text that a
 * person wrote; one that holds nothing secret stays byte for byte. */
MUST_CHECK int attachment_read(struct str payload, const struct item_origin *origin, struct buf *out);

/* Check-ins (§7.2): {"check_in": {"slug", "name", "id" (null: the one that runs, or a new one), "status", "environment", "duration_ms" (null: not said),
 * "release", "trace_id" (null), "config"}}. What becomes of one depends on its monitor, so the database accounts for it. `config` is absent without
 * monitor_config, null when that is unsound, else {"type", "value", "unit" (of intervals), "timezone", "margin", "max_runtime" (minutes),
 * "failures", "recovery"} and for crontabs the sets of crontab.h: "minutes", "hours", "days", "months", "weekdays", "either_day",
 * "follows_clock". Whether the time zone exists is the database's to say. */
MUST_CHECK int check_in_read(struct str payload, const struct item_origin *origin, struct buf *out);
