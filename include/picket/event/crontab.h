/* crontab.h: cron expressions (protocol §7.2) as sets of minutes, hours and days. Pure; any thread. When one fires next is the database's to say
 * (monitor_next() in sql/migrations), because it knows the time zones. */
#pragma once

#include "picket/base/str.h"

enum { CRONTAB_MAX = 256 }; /* bytes of an expression; a longer one is none */

struct crontab {
    struct str text;       /* the five fields; what an @name stands for. Borrowed from the expression, or static */
    uint64_t minutes;      /* bit n: minute n */
    uint32_t hours;        /* bits 0 to 23 */
    uint32_t days, months; /* bits 1 to 31, 1 to 12 */
    uint32_t weekdays;     /* bits 0 (Sunday) to 6 */
    bool either_day;       /* days and weekdays are both restricted: a day fits when one of them does; else both must */
    bool
        follows_clock; /* minute or hour begins with '*': it fires by what clocks show, also in an hour that comes twice (daylight saving) */
};

/* Five fields (minute, hour, day of month, month, day of week) separated by blanks: *, numbers, names of months and weekdays in any case, ranges,
 * steps, lists; 0 and 7 are Sunday. Or @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually. False: it is none of these, or
 * names a date that no year has; *ret is then untouched. */
MUST_CHECK bool crontab_parse(struct str expression, struct crontab *ret);
