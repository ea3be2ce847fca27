/* clock.c: wall and monotonic time, RFC 3339 in and out. The calendar is the proleptic Gregorian one; days are counted with the era
 * method (400-year eras of 146097 days starting on 1 March), which needs no table and no loop. */
#include "picket/base/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec ts;
    int r = clock_gettime(id, &ts);
    assert(r == 0);
    return (int64_t)ts.tv_sec * CLOCK_US_PER_S + ts.tv_nsec / 1000;
}

int64_t clock_wall_us(void)
{
    return read_clock(CLOCK_REALTIME);
}

int64_t clock_mono_us(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t clock_boot_us(void)
{
    return read_clock(CLOCK_BOOTTIME);
}

static int64_t days_from_civil(int64_t y, unsigned m, unsigned d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    unsigned yoe = (unsigned)(y - era * 400);
    unsigned doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
    unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + (int64_t)doe - 719468;
}

static void civil_from_days(int64_t z, int64_t *y, unsigned *m, unsigned *d)
{
    z += 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    unsigned doe = (unsigned)(z - era * 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    unsigned mp = (5 * doy + 2) / 153;
    *d = doy - (153 * mp + 2) / 5 + 1;
    *m = mp < 10 ? mp + 3 : mp - 9;
    *y = (int64_t)yoe + era * 400 + (*m <= 2);
}

size_t clock_format(int64_t us, char *dst)
{
    us = us < CLOCK_MIN_US ? CLOCK_MIN_US : us > CLOCK_MAX_US ? CLOCK_MAX_US : us;
    int64_t days = us / CLOCK_US_PER_DAY;
    int64_t rest = us % CLOCK_US_PER_DAY;
    if (rest < 0) {
        days--;
        rest += CLOCK_US_PER_DAY;
    }
    int64_t year;
    unsigned month, day;
    civil_from_days(days, &year, &month, &day);
    unsigned micros = (unsigned)(rest % CLOCK_US_PER_S), seconds = (unsigned)(rest / CLOCK_US_PER_S);
    int n = snprintf(dst, CLOCK_RFC3339_MAX, "%04d-%02u-%02uT%02u:%02u:%02u", (int)year, month, day, seconds / 3600, seconds / 60 % 60,
                     seconds % 60);
    if (micros % 1000)
        n += snprintf(dst + n, (size_t)(CLOCK_RFC3339_MAX - n), ".%06u", micros);
    else if (micros)
        n += snprintf(dst + n, (size_t)(CLOCK_RFC3339_MAX - n), ".%03u", micros / 1000);
    dst[n++] = 'Z';
    dst[n] = '\0';
    return (size_t)n;
}

/* Exactly `digits` decimal digits from the front of *s. */
static bool take_number(struct str *s, size_t digits, unsigned *ret)
{
    uint64_t v;
    if (s->n < digits || !str_to_u64(str_take(*s, digits), &v))
        return false;
    *s = str_drop(*s, digits);
    *ret = (unsigned)v;
    return true;
}

static bool take_char(struct str *s, char c)
{
    if (s->n == 0 || s->p[0] != c)
        return false;
    *s = str_drop(*s, 1);
    return true;
}

static unsigned take_fraction(struct str *s)
{
    unsigned micros = 0, scale = 100000;
    while (s->n && s->p[0] >= '0' && s->p[0] <= '9') {
        micros += (unsigned)(s->p[0] - '0') * scale;
        scale /= 10;
        *s = str_drop(*s, 1);
    }
    return micros;
}

/* What follows the time: nothing, Z, +hh:mm, +hhmm, +hh. */
static bool take_zone(struct str s, int *ret_minutes)
{
    *ret_minutes = 0;
    if (s.n == 0 || (s.n == 1 && (s.p[0] == 'Z' || s.p[0] == 'z')))
        return true;
    int sign = s.p[0] == '+' ? 1 : s.p[0] == '-' ? -1 : 0;
    unsigned hours, minutes = 0;
    s = str_drop(s, 1);
    if (sign == 0 || !take_number(&s, 2, &hours))
        return false;
    if (s.n) {
        (void)take_char(&s, ':'); /* optional */
        if (!take_number(&s, 2, &minutes) || s.n)
            return false;
    }
    *ret_minutes = sign * (int)(hours * 60 + minutes);
    return hours < 24 && minutes < 60;
}

static unsigned days_in_month(unsigned y, unsigned m)
{
    if (m == 2)
        return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0 ? 29 : 28;
    return m == 4 || m == 6 || m == 9 || m == 11 ? 30 : 31;
}

bool clock_parse(struct str s, int64_t *ret_us)
{
    unsigned year, month, day, hour, minute, second = 0, micros = 0;
    if (!take_number(&s, 4, &year) || !take_char(&s, '-') || !take_number(&s, 2, &month) || !take_char(&s, '-') ||
        !take_number(&s, 2, &day))
        return false;
    if (!take_char(&s, 'T') && !take_char(&s, 't') && !take_char(&s, ' '))
        return false;
    if (!take_number(&s, 2, &hour) || !take_char(&s, ':') || !take_number(&s, 2, &minute))
        return false;
    if (take_char(&s, ':') && !take_number(&s, 2, &second))
        return false;
    if (s.n && (s.p[0] == '.' || s.p[0] == ',')) {
        s = str_drop(s, 1);
        micros = take_fraction(&s);
    }
    int zone_minutes;
    if (!take_zone(s, &zone_minutes))
        return false;
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) || hour > 23 || minute > 59 || second > 60)
        return false;
    if (second == 60) {
        second = 59;
        micros = 999999;
    }
    int64_t us = days_from_civil(year, month, day) * CLOCK_US_PER_DAY;
    us += ((int64_t)hour * 3600 + (int64_t)minute * 60 + second - (int64_t)zone_minutes * 60) * CLOCK_US_PER_S + micros;
    if (us < CLOCK_MIN_US || us > CLOCK_MAX_US)
        return false;
    *ret_us = us;
    return true;
}
