/* moment.c: timestamps from clocks that nobody set.
 *
 * A number is seconds. Some senders mean milliseconds (or less) all the same: as seconds that lies thousands of years ahead, so a number
 * in the future is tried as milli-, micro- and nanoseconds and taken if it then falls between 2000 and now. A client whose clock is wrong
 * says so by `sent_at`: when that differs from the receipt by DRIFT_MIN or more, the event's time is shifted by the difference. What is
 * still in the future after that is the receipt time: order, partitions and retention use the receipt anyway. */
#include "moment.h"

#include "picket/base/clock.h"

#define DRIFT_MIN_US (INT64_C(55) * 60 * CLOCK_US_PER_S)
#define FUTURE_MAX_US (INT64_C(60) * CLOCK_US_PER_S)
#define YEAR_2000_US INT64_C(946684800000000)
enum { NUMBER_MAX_CHARS = 40 };

static int64_t clamp(double us)
{
    if (us <= (double)CLOCK_MIN_US)
        return CLOCK_MIN_US;
    if (us >= (double)CLOCK_MAX_US)
        return CLOCK_MAX_US;
    return (int64_t)(us < 0 ? us - 0.5 : us + 0.5);
}

bool event_number(struct str s, double *ret)
{
    AUTO_JSON struct json_doc *doc = NULL;
    if (s.n > NUMBER_MAX_CHARS || json_parse(s, &doc, NULL) < 0)
        return false;
    return json_f64(json_root(doc), ret);
}

/* Exactly one of the two results: a date and time in microseconds, or a bare number. */
enum moment { MOMENT_NONE, MOMENT_DATE, MOMENT_NUMBER };
static enum moment read_moment(const struct json *v, struct arena *a, int64_t *ret_us, double *ret_number)
{
    struct str s;
    if (json_f64(v, ret_number))
        return MOMENT_NUMBER;
    if (!json_str(v, a, &s))
        return MOMENT_NONE;
    s = str_trim(s);
    if (clock_parse(s, ret_us))
        return MOMENT_DATE;
    return event_number(s, ret_number) ? MOMENT_NUMBER : MOMENT_NONE;
}

int64_t event_drift_us(int64_t received_us, int64_t sent_at_us)
{
    if (sent_at_us == 0)
        return 0;
    int64_t difference = received_us - sent_at_us;
    return llabs(difference) >= DRIFT_MIN_US ? difference : 0;
}

static int64_t time_of_number(double number, double shift_us, const struct event_origin *origin)
{
    static const double units[] = {1e3, 1e6, 1e9}; /* milliseconds, microseconds, nanoseconds */
    const double latest = (double)(origin->received_us + FUTURE_MAX_US);
    double us = number * CLOCK_US_PER_S + shift_us;
    if (us <= latest)
        return clamp(us);
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        us = number / units[i] * CLOCK_US_PER_S + shift_us;
        if (us >= (double)YEAR_2000_US && us <= latest)
            return clamp(us);
    }
    return origin->received_us;
}

int64_t event_time(const struct json *v, const struct event_origin *origin, struct arena *a)
{
    int64_t us = 0, shift = event_drift_us(origin->received_us, origin->sent_at_us);
    double number = 0;
    switch (read_moment(v, a, &us, &number)) {
    case MOMENT_NUMBER:
        return time_of_number(number, (double)shift, origin);
    case MOMENT_DATE:
        us += shift; /* both lie within the years 1–9999 or the caller's clock: far from overflow */
        if (us > origin->received_us + FUTURE_MAX_US)
            return origin->received_us;
        return us < CLOCK_MIN_US ? CLOCK_MIN_US : us;
    case MOMENT_NONE:
        break;
    }
    return origin->received_us;
}

int64_t event_us(double seconds)
{
    return clamp(seconds * CLOCK_US_PER_S);
}

bool event_seconds(const struct json *v, struct arena *a, double *ret)
{
    int64_t us = 0;
    double number = 0;
    switch (read_moment(v, a, &us, &number)) {
    case MOMENT_DATE:
        *ret = (double)us / CLOCK_US_PER_S;
        return true;
    case MOMENT_NUMBER:
        for (unsigned i = 0; i < 3 && number * CLOCK_US_PER_S > (double)CLOCK_MAX_US; i++)
            number /= 1e3; /* beyond the year 9999: a smaller unit was meant */
        if (number * CLOCK_US_PER_S > (double)CLOCK_MAX_US || number * CLOCK_US_PER_S < (double)CLOCK_MIN_US)
            return false;
        *ret = number;
        return true;
    case MOMENT_NONE:
        break;
    }
    return false;
}
