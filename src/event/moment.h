/* moment.h: when an event happened (protocol §5.4, decisions.md "timestamp of an event"). Private to the event layer. */
#pragma once

#include "picket/event/event.h"

/* What has to be added to what a sender's clock says; 0: it is right, or nobody knows (`sent_at_us` is 0). */
int64_t event_drift_us(int64_t received_us, int64_t sent_at_us);
/* The event's time, corrected by the envelope's sent_at; the receipt time when there is none or none that can be. */
int64_t event_time(const struct json *v, const struct event_origin *origin, struct arena *a);

/* Seconds since 1970 of a timestamp inside an event (breadcrumbs): numbers, numeric strings, ISO 8601. False for anything else. */
MUST_CHECK bool event_seconds(const struct json *v, struct arena *a, double *ret);

/* The number that a string spells as JSON would ("12", "1.5e3"). */
MUST_CHECK bool event_number(struct str s, double *ret);
/* The nearest microsecond, within the years 1–9999. */
int64_t event_us(double seconds);
