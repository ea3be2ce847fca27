/* fuzz_crontab.c: cron expressions. What is one has something in each set and nothing outside, and its five fields spelled again are the same. */
#include "fuzz.h"

#include "picket/event/crontab.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct crontab c, again;
    if (!crontab_parse(str_of((const char *)data, size), &c))
        return 0;
    assert(c.minutes && c.minutes >> 60 == 0);
    assert(c.hours && c.hours >> 24 == 0);
    assert(c.days && !(c.days & 1));
    assert(c.months && !(c.months & 1) && c.months >> 13 == 0);
    assert(c.weekdays && c.weekdays >> 7 == 0);
    assert(c.text.n <= CRONTAB_MAX && str_is_utf8(c.text) && str_find(c.text, 0) == c.text.n);
    bool is_one = crontab_parse(c.text, &again);
    assert(is_one && again.minutes == c.minutes && again.hours == c.hours && again.days == c.days && again.months == c.months);
    assert(again.weekdays == c.weekdays && again.either_day == c.either_day && again.follows_clock == c.follows_clock);
    return 0;
}
