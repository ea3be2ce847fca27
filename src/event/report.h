/* report.h: what a browser's security report says (protocol §3.9): its fields under their stored names, and the sentence that it comes to. Private
 * to the event layer. Slices are in the arena or in the document. */
#pragma once

#include "view.h"

enum report_kind { REPORT_NONE, REPORT_CSP, REPORT_HPKP, REPORT_EXPECT_CT, REPORT_EXPECT_STAPLE };

enum report_field {
    REPORT_EFFECTIVE_DIRECTIVE, /* these of CSP */
    REPORT_VIOLATED_DIRECTIVE,
    REPORT_BLOCKED_URI,
    REPORT_DOCUMENT_URI,
    REPORT_ORIGINAL_POLICY,
    REPORT_REFERRER,
    REPORT_STATUS_CODE,
    REPORT_SOURCE_FILE,
    REPORT_LINE_NUMBER,
    REPORT_COLUMN_NUMBER,
    REPORT_SCRIPT_SAMPLE,
    REPORT_DISPOSITION,
    REPORT_DATE_TIME, /* these of the others */
    REPORT_HOSTNAME,
    REPORT_PORT,
    REPORT_SCHEME,
    REPORT_EXPIRATION_DATE,
    REPORT_INCLUDE_SUBDOMAINS,
    REPORT_NOTED_HOSTNAME,
    REPORT_SERVED_CHAIN,
    REPORT_VALIDATED_CHAIN,
    REPORT_KNOWN_PINS,
    REPORT_SCTS,
    REPORT_FAILURE_MODE,
    REPORT_TEST_REPORT,
    REPORT_RESPONSE_STATUS,
    REPORT_CERT_STATUS,
    REPORT_OCSP_RESPONSE,
    REPORT_FIELDS,
};

struct report {
    enum report_kind kind;
    const struct json *block; /* an object: the browser's, or an event's */
    const struct json *at[REPORT_FIELDS];
};

/* The fields of a block in any spelling: blocked-uri, blocked_uri, blockedURL. False when `block` is no object. */
bool report_read(enum report_kind kind, const struct json *block, struct report *ret);
/* The report that an event bears; false when it bears none, or an exception beside it. */
bool report_of_event(const struct event_view *view, struct report *ret);

/* "csp", "hpkp", "expectct", "expectstaple": type of the event and name of its block. */
struct str report_name(enum report_kind kind);
/* Text of a field, "" when there is none. */
struct str report_text(const struct report *r, enum report_field field, struct arena *a);
/* The directive that was violated, in lower case: the effective one, or the first word of what old browsers send. "": none, so nothing is said. */
struct str report_directive(const struct report *r, struct arena *a);
/* "Blocked 'script' from 'example.com'"; "" when the report lacks what it is about. */
struct str report_message(const struct report *r, struct arena *a);
/* Whether a browser's extension or the browser itself is to blame, which no site can mend (§4.9 invalid-csp). */
bool report_is_junk(const struct report *r, struct arena *a);
/* "csp": {…} with stored names; texts are cut, what has a wrong type is left out, what is not known stays as it is. */
void report_put(struct json_writer *w, const struct report *r, struct arena *a);
