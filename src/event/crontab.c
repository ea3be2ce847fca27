/* crontab.c: a field is a list of parts, a part is a star, a value or a range with perhaps a step; each part sets bits. Which of the two day fields
 * decides follows the cron that everybody has: a field that begins with a star restricts nothing, even as "*" with a step, so then both must
 * fit; two fields without a star are alternatives. */
#include "picket/event/crontab.h"

enum { N_FIELDS = 5 };
enum field_name { MINUTE, HOUR, DAY, MONTH, WEEKDAY };

struct field {
    unsigned min, max;
    const char *names; /* of three letters each, from `first_name` on; NULL: numbers only */
    unsigned first_name;
};

static const struct field fields[N_FIELDS] = {
    [MINUTE] = {0, 59, NULL, 0},
    [HOUR] = {0, 23, NULL, 0},
    [DAY] = {1, 31, NULL, 0},
    [MONTH] = {1, 12, "janfebmaraprmayjunjulaugsepoctnovdec", 1},
    [WEEKDAY] = {0, 7, "sunmontuewedthufrisat", 0}, /* 7 is Sunday, too */
};

static bool read_name(const struct field *f, struct str s, unsigned *ret)
{
    if (!f->names || s.n != 3)
        return false;
    unsigned n = f->first_name;
    for (struct str rest = str_from(f->names); rest.n; rest = str_drop(rest, 3), n++) {
        if (str_eq_nocase(s, str_take(rest, 3))) {
            *ret = n;
            return true;
        }
    }
    return false;
}

static bool read_value(const struct field *f, struct str s, unsigned *ret)
{
    uint64_t n;
    if (read_name(f, s, ret))
        return true;
    if (s.n > 2 || !str_to_u64(s, &n) || n < f->min || n > f->max)
        return false;
    *ret = (unsigned)n;
    return true;
}

static unsigned last_of(const struct field *f)
{
    return f == &fields[WEEKDAY] ? 6 : f->max;
}

static bool read_range(const struct field *f, struct str s, bool has_step, unsigned *ret_from, unsigned *ret_to)
{
    if (str_eq(s, STR("*"))) {
        *ret_from = f->min;
        *ret_to = last_of(f);
        return true;
    }
    struct str rest = s, first = str_cut(&rest, '-');
    if (!read_value(f, first, ret_from))
        return false;
    *ret_to = has_step ? last_of(f) : *ret_from; /* a value with a step goes on to the end */
    if (rest.p && !read_value(f, rest, ret_to))
        return false;
    if (f == &fields[WEEKDAY] && *ret_to == 0 && *ret_from > 0)
        *ret_to = 7; /* "sat-sun" */
    return *ret_from <= *ret_to;
}

/* One part of a list. */
static bool read_part(const struct field *f, struct str s, uint64_t *bits)
{
    unsigned from, to;
    uint64_t step = 1;
    struct str rest = s, range = str_cut(&rest, '/');
    if (rest.p && (rest.n > 3 || !str_to_u64(rest, &step) || step == 0))
        return false;
    if (!read_range(f, range, rest.p != NULL, &from, &to))
        return false;
    for (uint64_t n = from; n <= to; n += step)
        *bits |= UINT64_C(1) << n;
    return true;
}

static bool read_field(const struct field *f, struct str s, uint64_t *ret)
{
    *ret = 0;
    for (struct str rest = s; rest.p;)
        if (!read_part(f, str_cut(&rest, ','), ret))
            return false;
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* False unless there are exactly five. */
static bool cut_fields(struct str text, struct str ret[N_FIELDS])
{
    size_t n = 0;
    while (text.n) {
        size_t len = 0;
        while (len < text.n && !is_blank(text.p[len]))
            len++;
        if (n == N_FIELDS)
            return false;
        ret[n++] = str_take(text, len);
        for (text = str_drop(text, len); text.n && is_blank(text.p[0]);)
            text = str_drop(text, 1);
    }
    return n == N_FIELDS;
}

static struct str translate(struct str text)
{
    static const struct {
        const char *name, *fields;
    } names[] = {{"@hourly", "0 * * * *"},  {"@daily", "0 0 * * *"},  {"@midnight", "0 0 * * *"}, {"@weekly", "0 0 * * 0"},
                 {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq_nocase(text, str_from(names[i].name)))
            return str_from(names[i].fields);
    return text;
}

static bool is_starred(struct str s)
{
    return str_starts(s, STR("*"));
}

/* Some day of some of the months. */
static bool has_a_date(const struct crontab *c)
{
    static const unsigned last[] = {0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (c->either_day)
        return true;
    for (unsigned month = 1; month <= 12; month++)
        for (unsigned day = 1; c->months >> month & 1 && day <= last[month]; day++)
            if (c->days >> day & 1)
                return true;
    return false;
}

bool crontab_parse(struct str expression, struct crontab *ret)
{
    struct str text = translate(str_trim(expression)), parts[N_FIELDS];
    uint64_t bits[N_FIELDS];
    if (text.n > CRONTAB_MAX || !cut_fields(text, parts))
        return false;
    for (size_t i = 0; i < N_FIELDS; i++)
        if (!read_field(&fields[i], parts[i], &bits[i]))
            return false;
    struct crontab c = {
        .text = text,
        .minutes = bits[MINUTE],
        .hours = (uint32_t)bits[HOUR],
        .days = (uint32_t)bits[DAY],
        .months = (uint32_t)bits[MONTH],
        .weekdays = (uint32_t)((bits[WEEKDAY] | bits[WEEKDAY] >> 7) & 0x7f),
        .either_day = !is_starred(parts[DAY]) && !is_starred(parts[WEEKDAY]),
        .follows_clock = is_starred(parts[MINUTE]) || is_starred(parts[HOUR]),
    };
    if (!has_a_date(&c))
        return false;
    *ret = c;
    return true;
}
