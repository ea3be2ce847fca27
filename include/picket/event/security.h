/* security.h: what browsers report by themselves (protocol §1.6 "Security", §3.9): violations of a Content-Security-Policy, HPKP, Expect-CT and
 * Expect-Staple, in the form that each browser has it, one by one or as the array of the Reporting API. Each becomes an event. Pure; any thread;
 * nothing recurses.
 *
 *     struct security_reader r;
 *     int n = security_open(body, &r);
 *     while (n >= 0 && (n = security_next(&r, &origin, &out)) != 0) … n == 1: an event's JSON in out; n < 0: this report is left out
 *     security_done(&r); */
#pragma once

#include "picket/base/buf.h"
#include "picket/event/event.h"

/* What the request says about its reports; each may be "". What is longer than an event may have it is cut. */
struct security_origin {
    int64_t received_us;
    struct str release, environment; /* sentry_release, sentry_environment */
    struct str user_agent, origin;   /* the request's headers */
};

struct security_reader { /* private but for the first two */
    bool is_event;       /* no report but an event that bears one already (items of type "security", §3.9): for who takes events */
    size_t n_left;       /* reports that are still to come */
    struct json_doc *doc;
    const struct json *one; /* the only report */
    struct json_iter rest;  /* those of an array */
};

/* Parses the body, which is not kept. -ERR_BAD_JSON. An empty array is -ERR_BAD_REPORT. Nothing is to be done for a reader that was not opened. */
MUST_CHECK int security_open(struct str body, struct security_reader *ret);
/* The next report. 1: `out`, which is cleared first, holds an event; 0: there are no more; <0: it is left out, and `out` is empty: -ERR_REPORT_TYPE (of no
 * kind that is kept), -ERR_BAD_REPORT (lacks what it is about), -ERR_JUNK_REPORT (the doing of a browser's extension). */
MUST_CHECK int security_next(struct security_reader *r, const struct security_origin *origin, struct buf *out);
void security_done(struct security_reader *r);

/* Whether a request of that Content-Type may bring reports (§1.6): anything else is answered 415. */
bool security_is_report_type(struct str content_type);
