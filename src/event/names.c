/* names.c: see the header. What is too long is cut after it was looked at: all of it has to be sound. */
#include "names.h"

#include "picket/event/event.h"

static bool has_any(struct str s, const char *bad)
{
    for (; *bad; bad++)
        if (str_find(s, *bad) < s.n)
            return true;
    return false;
}

bool event_good_release(struct str s)
{
    return s.n > 0 && !has_any(s, "\n\r\t\f/\\") && !str_eq(s, STR(".")) && !str_eq(s, STR("..")) && !str_eq_nocase(s, STR("latest"));
}

bool event_good_environment(struct str s)
{
    return s.n > 0 && !has_any(s, "\n\r\f/") && !str_eq_nocase(s, STR("none"));
}

static struct str named(const struct json *v, bool (*good)(struct str), size_t max, struct arena *a)
{
    struct str s = str_trim(event_scalar(v, a));
    return good(s) ? arena_str(a, str_take_code_points(s, max)) : STR("");
}

struct str event_release(const struct json *v, struct arena *a)
{
    return named(v, event_good_release, EVENT_MAX_RELEASE, a);
}

struct str event_environment(const struct json *v, struct arena *a)
{
    return named(v, event_good_environment, EVENT_MAX_ENVIRONMENT, a);
}
