/* native.h: an event made of a crash report: a minidump, a form, MessagePack files, an Unreal context (protocol §1.6 "Minidump", "Unreal", §3.3). Pure; any
 * thread; nothing recurses. Design: src/event/native.c. */
#pragma once

#include "picket/base/buf.h"

struct native_field {
    struct str name, value;
};

/* Whatever of it is there; slices are borrowed. */
struct native_report {
    struct str dump;           /* a minidump; "" when the report has none */
    struct str event;          /* JSON of an event that came beside it */
    struct str event_msgpack;  /* __sentry-event */
    struct str breadcrumbs[2]; /* __sentry-breadcrumb1 and 2, see below */
    const struct native_field *fields;
    size_t n_fields;           /* of a form: sentry, sentry[…], sentry___…, sentry__1 … describe the event, others become its extra */
    struct str unreal_context; /* CrashContext.runtime-xml */
    struct str unreal_user;    /* UserID of the query: "login|account|machine" */
    struct str apple_report;   /* the text of an Apple crash report */
    size_t max_bytes;          /* of the event's JSON, see below */
};
/* Breadcrumb files are MessagePack: arrays, or one value behind the other; that whose last one is newer comes last.
 * max_bytes: of all parts together twice as much is read, of more the smallest. When the event would be larger, parts are left out whole until it is
 * not: breadcrumb files, then the largest, be it a field, a text or an annotation; the others stay. When that is not enough, only `event` and what the
 * dump says are kept, without threads and images if need be (that is 20 KiB beyond the event at most). `errors` names what was left out, up to a
 * hundred: value_too_long with the field's or the annotation's name, "breadcrumbs", "__sentry-event", "CrashContext.runtime-xml",
 * "apple_crash_report"; "sentry" when it was all. */

/* Appends the event's JSON to `out`. Whatever is broken in the parts is left out: a crash is never lost for it (§1.6). */
void native_event(const struct native_report *report, struct buf *out);
