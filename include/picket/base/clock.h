/* clock.h: time. Wall time is microseconds since 1970 UTC, as int64_t named *_us; durations are measured on the monotonic clock. */
#pragma once

#include "picket/base/str.h"

enum { CLOCK_RFC3339_MAX = 32 };
#define CLOCK_US_PER_S INT64_C(1000000)
#define CLOCK_US_PER_HOUR INT64_C(3600000000)
#define CLOCK_US_PER_DAY INT64_C(86400000000)
#define CLOCK_MIN_US INT64_C(-62135596800000000) /* 0001-01-01T00:00:00Z */
#define CLOCK_MAX_US INT64_C(253402300799999999) /* 9999-12-31T23:59:59.999999Z */

int64_t clock_wall_us(void);
int64_t clock_mono_us(void);
int64_t clock_boot_us(void); /* monotonic, too, and goes on while the machine sleeps */

/* RFC 3339 in UTC with a literal Z (contract §1.6): no fraction when it is zero, else 3 digits when they suffice, else 6. Writes at
 * most CLOCK_RFC3339_MAX bytes with a final NUL, returns the length. Input is clamped to CLOCK_MIN_US..CLOCK_MAX_US. */
size_t clock_format(int64_t us, char *dst);

/* ISO 8601 date and time as SDKs send it (protocol §5.4): 'T', 't' or a blank between, fraction of any length (cut to
 * microseconds), zone Z, z, +hh:mm, +hhmm, +hh or absent (UTC), a leap second counted as :59.999999. False when it is anything else or out of range. */
MUST_CHECK bool clock_parse(struct str s, int64_t *ret_us);
