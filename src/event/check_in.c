/* check_in.c: check-ins of cron monitors (protocol §7.2; sdk-observed "Sessions, check-ins, reports": Python adds a whole event's body, Go and the
 * command line have no contexts, durations are seconds with a fraction or null).
 *
 * A monitor is known by its slug, so slugs are made alike: lower case, what is no letter, digit, '_' or '-' becomes one '-', 50 characters. A
 * configuration is all or nothing: what is written of it is sound but for the time zone, whose name only looks like one; what is unsound is null,
 * so that the check-in still counts for a monitor that exists. */
#include "picket/event/items.h"

#include "account.h"
#include "moment.h"
#include "names.h"
#include "picket/base/error.h"
#include "picket/event/crontab.h"

enum {
    MINUTES_MAX = 40320, /* margin and run time: four weeks */
    MARGIN_DEFAULT = 1,
    RUNTIME_DEFAULT = 30,
    THRESHOLD_MAX = 720,
    INTERVAL_MAX = 100000,
    ZONE_MAX = 64,
};
#define DURATION_MAX_S (366 * 86400.0)

/* ---- the monitor's configuration */

struct schedule {
    bool is_crontab;
    struct crontab crontab;
    int64_t n; /* of intervals */
    const char *unit;
};

struct config {
    struct schedule schedule;
    struct str timezone;
    int64_t margin, max_runtime, failures, recovery;
};

/* A number of minutes or of check-ins: absent and null are the default, and 0 is 1 where that is the default. */
static bool read_count(const struct json *object, struct str key, int64_t if_absent, int64_t max, int64_t *ret)
{
    const struct json *v = json_get(object, key);
    *ret = if_absent;
    if (json_type(v) == JSON_NONE || json_type(v) == JSON_NULL)
        return true;
    if (!json_i64(v, ret))
        return false;
    if (*ret == 0 && if_absent == 1)
        *ret = 1;
    return *ret >= 1 && *ret <= max;
}

static bool read_unit(const struct json *v, struct arena *a, const char **ret)
{
    static const char *const units[] = {"minute", "hour", "day", "week", "month", "year"};
    struct str s;
    if (!json_str(v, a, &s))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (str_eq_nocase(s, str_from(units[i]))) {
            *ret = units[i];
            return true;
        }
    }
    return false;
}

static bool read_interval(const struct json *value, const struct json *unit, struct arena *a, struct schedule *ret)
{
    ret->is_crontab = false;
    return json_i64(value, &ret->n) && ret->n >= 1 && ret->n <= INTERVAL_MAX && read_unit(unit, a, &ret->unit);
}

static bool read_crontab(const struct json *value, struct arena *a, struct schedule *ret)
{
    struct str s;
    ret->is_crontab = true;
    return json_str(value, a, &s) && crontab_parse(s, &ret->crontab);
}

/* {"type", "value", "unit"}, or as the web API has it: schedule_type beside a string or [n, unit]. */
static bool read_schedule(const struct json *config, struct arena *a, struct schedule *ret)
{
    const struct json *v = json_get(config, STR("schedule"));
    bool is_object = json_type(v) == JSON_OBJECT;
    struct str type = STR("");
    if (!json_str(is_object ? json_get(v, STR("type")) : json_get(config, STR("schedule_type")), a, &type))
        type = json_type(v) == JSON_ARRAY ? STR("interval") : STR("crontab");
    if (str_eq(type, STR("crontab")))
        return read_crontab(is_object ? json_get(v, STR("value")) : v, a, ret);
    if (!str_eq(type, STR("interval")))
        return false;
    return is_object ? read_interval(json_get(v, STR("value")), json_get(v, STR("unit")), a, ret)
                     : read_interval(json_at(v, 0), json_at(v, 1), a, ret);
}

/* Looks like a name of the IANA's: words, which the database knows or does not. */
static bool read_zone(const struct json *v, struct arena *a, struct str *ret)
{
    *ret = STR("UTC");
    if (json_type(v) == JSON_NONE || json_type(v) == JSON_NULL)
        return true;
    struct str s;
    if (!json_str(v, a, &s) || s.n > ZONE_MAX)
        return false;
    if (s.n == 0)
        return true;
    bool begins = true;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool is_letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!is_letter && (begins || !((c >= '0' && c <= '9') || c == '_' || c == '+' || c == '-' || c == '/')))
            return false;
        begins = c == '/';
    }
    *ret = s;
    return !begins;
}

static bool read_config(const struct json *v, struct arena *a, struct config *ret)
{
    return json_type(v) == JSON_OBJECT && read_schedule(v, a, &ret->schedule) &&
           read_zone(json_get(v, STR("timezone")), a, &ret->timezone) &&
           read_count(v, STR("checkin_margin"), MARGIN_DEFAULT, MINUTES_MAX, &ret->margin) &&
           read_count(v, STR("max_runtime"), RUNTIME_DEFAULT, MINUTES_MAX, &ret->max_runtime) &&
           read_count(v, STR("failure_issue_threshold"), 1, THRESHOLD_MAX, &ret->failures) &&
           read_count(v, STR("recovery_threshold"), 1, THRESHOLD_MAX, &ret->recovery);
}

static void put_crontab(struct json_writer *w, const struct crontab *c)
{
    json_field_str(w, STR("type"), STR("crontab"));
    json_field_str(w, STR("value"), c->text);
    json_field_i64(w, STR("minutes"), (int64_t)c->minutes); /* 60 bits */
    json_field_i64(w, STR("hours"), c->hours);
    json_field_i64(w, STR("days"), c->days);
    json_field_i64(w, STR("months"), c->months);
    json_field_i64(w, STR("weekdays"), c->weekdays);
    json_field_bool(w, STR("either_day"), c->either_day);
    json_field_bool(w, STR("follows_clock"), c->follows_clock);
}

static void put_config(struct json_writer *w, const struct config *c)
{
    json_begin_object(w);
    if (c->schedule.is_crontab) {
        put_crontab(w, &c->schedule.crontab);
    } else {
        json_field_str(w, STR("type"), STR("interval"));
        json_field_i64(w, STR("value"), c->schedule.n);
        json_field_str(w, STR("unit"), str_from(c->schedule.unit));
    }
    json_field_str(w, STR("timezone"), c->timezone);
    json_field_i64(w, STR("margin"), c->margin);
    json_field_i64(w, STR("max_runtime"), c->max_runtime);
    json_field_i64(w, STR("failures"), c->failures);
    json_field_i64(w, STR("recovery"), c->recovery);
    json_end_object(w);
}

/* ---- the check-in */

struct check_in {
    struct str slug, name, environment, release;
    const char *status;
    struct id128 id, trace; /* nil: none */
    int64_t duration_ms;    /* <0: not said */
};

static bool is_slug_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/* At most ITEMS_MAX_SLUG characters; "" when nothing of the text can stand in one. */
static struct str make_slug(struct str text, struct arena *a)
{
    char *p = arena_alloc(a, ITEMS_MAX_SLUG);
    size_t n = 0;
    for (size_t i = 0; i < text.n && n < ITEMS_MAX_SLUG; i++) {
        char c = (char)(text.p[i] >= 'A' && text.p[i] <= 'Z' ? text.p[i] + 32 : text.p[i]);
        if (is_slug_char(c))
            p[n++] = c;
        else if (n > 0 && p[n - 1] != '-')
            p[n++] = '-';
    }
    if (n > 0 && p[n - 1] == '-')
        n--;
    return str_of(p, n);
}

static struct str text(const struct json *v, size_t max, struct arena *a)
{
    struct str s;
    return json_str(v, a, &s) ? str_take_code_points(str_trim(s), max) : STR("");
}

static bool read_status(const struct json *v, struct arena *a, const char **ret)
{
    static const char *const known[] = {"in_progress", "ok", "error"};
    struct str s = text(v, SIZE_MAX, a);
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (str_eq(s, str_from(known[i]))) {
            *ret = known[i];
            return true;
        }
    }
    return false;
}

/* Absent, null and "" are the nil id. */
static bool read_id(const struct json *v, struct arena *a, struct id128 *ret)
{
    struct str s;
    *ret = (struct id128){{0}};
    if (json_type(v) == JSON_NONE || json_type(v) == JSON_NULL)
        return true;
    return json_str(v, a, &s) && (s.n == 0 || id_parse(s, ret));
}

/* Seconds, as a number or as the text of one. What is no duration is not worth the check-in: it is left out. */
static int64_t duration_ms(const struct json *v, struct arena *a)
{
    double s;
    struct str spelled;
    if (!json_f64(v, &s) && !(json_str(v, a, &spelled) && event_number(str_trim(spelled), &s)))
        return -1;
    return s >= 0 && s <= DURATION_MAX_S ? (int64_t)(s * 1000 + 0.5) : -1;
}

static int read_check_in(const struct json *root, struct arena *a, struct check_in *ret)
{
    struct str spelled = text(json_get(root, STR("monitor_slug")), SIZE_MAX, a);
    struct check_in c = {
        .slug = make_slug(spelled, a),
        .name = str_take_code_points(spelled, ITEMS_MAX_SLUG),
        .environment = event_environment(json_get(root, STR("environment")), a),
        .release = event_release(json_get(root, STR("release")), a),
        .duration_ms = duration_ms(json_get(root, STR("duration")), a),
    };
    if (c.slug.n == 0 || !read_status(json_get(root, STR("status")), a, &c.status) ||
        !read_id(json_get(root, STR("check_in_id")), a, &c.id))
        return -ERR_BAD_CHECK_IN;
    if (c.environment.n == 0)
        c.environment = STR("production");
    if (!read_id(json_get(json_get(json_get(root, STR("contexts")), STR("trace")), STR("trace_id")), a, &c.trace))
        c.trace = (struct id128){{0}};
    *ret = c;
    return 0;
}

static void put_id(struct json_writer *w, struct str key, const struct id128 *id)
{
    char dashed[ID_DASHED + 1];
    if (id_is_nil(id)) {
        json_field_null(w, key);
        return;
    }
    id_dashed(id, dashed);
    json_field_str(w, key, str_of(dashed, ID_DASHED));
}

static void put_check_in(struct json_writer *w, const struct check_in *c)
{
    json_field_str(w, STR("slug"), c->slug);
    json_field_str(w, STR("name"), c->name);
    put_id(w, STR("id"), &c->id);
    json_field_str(w, STR("status"), str_from(c->status));
    json_field_str(w, STR("environment"), c->environment);
    if (c->duration_ms < 0)
        json_field_null(w, STR("duration_ms"));
    else
        json_field_i64(w, STR("duration_ms"), c->duration_ms);
    json_field_str(w, STR("release"), c->release);
    put_id(w, STR("trace_id"), &c->trace);
}

static void put(const struct check_in *c, const struct json *monitor_config, const struct item_origin *origin, struct arena *a,
                struct buf *out)
{
    struct json_writer w;
    struct config config;
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_key(&w, STR("check_in"));
    json_begin_object(&w);
    put_check_in(&w, c);
    account_put_client(&w, origin);
    if (json_type(monitor_config) > JSON_NULL) {
        json_key(&w, STR("config"));
        if (read_config(monitor_config, a, &config))
            put_config(&w, &config);
        else
            json_put_null(&w);
    }
    json_end_object(&w);
    json_end_object(&w);
}

int check_in_read(struct str payload, const struct item_origin *origin, struct buf *out)
{
    AUTO_JSON struct json_doc *doc = NULL;
    struct check_in c;
    struct arena a;
    int r = json_parse(payload, &doc, NULL);
    if (r < 0)
        return r;
    if (json_type(json_root(doc)) != JSON_OBJECT)
        return -ERR_NOT_AN_OBJECT;
    arena_init(&a);
    r = read_check_in(json_root(doc), &a, &c);
    if (r == 0)
        put(&c, json_get(json_root(doc), STR("monitor_config")), origin, &a, out);
    arena_done(&a);
    return r;
}
