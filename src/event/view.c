/* view.c: which keys an event has. One pass over the members, because looking up twenty keys one by one costs more than parsing them did:
 * this runs for every event in the digest. */
#include "view.h"

#include "picket/base/error.h"

struct spelling {
    struct str name;
    enum event_key key;
};

/* Modern spellings, in the order of enum event_key. */
static const struct str names[EVENT_KEY_OTHER] = {
    [EVENT_KEY_ID] = STR("event_id"),
    [EVENT_KEY_TYPE] = STR("type"),
    [EVENT_KEY_TIMESTAMP] = STR("timestamp"),
    [EVENT_KEY_LEVEL] = STR("level"),
    [EVENT_KEY_PLATFORM] = STR("platform"),
    [EVENT_KEY_RELEASE] = STR("release"),
    [EVENT_KEY_ENVIRONMENT] = STR("environment"),
    [EVENT_KEY_SERVER_NAME] = STR("server_name"),
    [EVENT_KEY_SDK] = STR("sdk"),
    [EVENT_KEY_TRANSACTION] = STR("transaction"),
    [EVENT_KEY_FINGERPRINT] = STR("fingerprint"),
    [EVENT_KEY_EXCEPTION] = STR("exception"),
    [EVENT_KEY_STACKTRACE] = STR("stacktrace"),
    [EVENT_KEY_LOGENTRY] = STR("logentry"),
    [EVENT_KEY_MESSAGE] = STR("message"),
    [EVENT_KEY_THREADS] = STR("threads"),
    [EVENT_KEY_BREADCRUMBS] = STR("breadcrumbs"),
    [EVENT_KEY_CONTEXTS] = STR("contexts"),
    [EVENT_KEY_TAGS] = STR("tags"),
    [EVENT_KEY_USER] = STR("user"),
    [EVENT_KEY_REQUEST] = STR("request"),
    [EVENT_KEY_MODULES] = STR("modules"),
    [EVENT_KEY_TEMPLATE] = STR("template"),
    [EVENT_KEY_CSP] = STR("csp"),
    [EVENT_KEY_HPKP] = STR("hpkp"),
    [EVENT_KEY_EXPECTCT] = STR("expectct"),
    [EVENT_KEY_EXPECTSTAPLE] = STR("expectstaple"),
};

/* What follows "sentry.interfaces." in the spellings of old SDKs (protocol §5.1). */
static const struct spelling legacy[] = {
    {STR("Message"), EVENT_KEY_LOGENTRY},
    {STR("User"), EVENT_KEY_USER},
    {STR("Http"), EVENT_KEY_REQUEST},
    {STR("Contexts"), EVENT_KEY_CONTEXTS},
    {STR("Breadcrumbs"), EVENT_KEY_BREADCRUMBS},
    {STR("Exception"), EVENT_KEY_EXCEPTION},
    {STR("Stacktrace"), EVENT_KEY_STACKTRACE},
    {STR("Template"), EVENT_KEY_TEMPLATE},
    {STR("Csp"), EVENT_KEY_CSP},
    {STR("Hpkp"), EVENT_KEY_HPKP},
    {STR("ExpectCT"), EVENT_KEY_EXPECTCT},
    {STR("ExpectStaple"), EVENT_KEY_EXPECTSTAPLE},
};

static enum event_key modern_key(struct str name)
{
    for (unsigned i = 0; i < EVENT_KEY_OTHER; i++)
        if (str_eq(names[i], name))
            return (enum event_key)i;
    return EVENT_KEY_OTHER;
}

static enum event_key legacy_key(struct str name)
{
    const struct str prefix = STR("sentry.interfaces.");
    if (!str_starts(name, prefix))
        return EVENT_KEY_OTHER;
    name = str_drop(name, prefix.n);
    for (size_t i = 0; i < ARRAY_LEN(legacy); i++)
        if (str_eq(legacy[i].name, name))
            return legacy[i].key;
    return EVENT_KEY_OTHER;
}

enum event_key event_key_of(struct str name)
{
    enum event_key key = modern_key(name);
    return key == EVENT_KEY_OTHER ? legacy_key(name) : key;
}

struct str event_key_name(enum event_key key)
{
    assert(key < EVENT_KEY_OTHER);
    return names[key];
}

static bool is_absent(const struct json *v)
{
    return json_type(v) <= JSON_NULL;
}

int event_view_read(const struct json *root, struct event_view *ret)
{
    struct event_view view = {0}, old = {0};
    if (json_type(root) != JSON_OBJECT)
        return -ERR_NOT_AN_OBJECT;
    for (struct json_iter it = json_iter(root); json_next(&it);) {
        struct str name;
        if (!json_str_raw(it.key, &name))
            continue;
        enum event_key key = modern_key(name);
        if (key != EVENT_KEY_OTHER)
            view.at[key] = it.value;
        else if ((key = legacy_key(name)) != EVENT_KEY_OTHER)
            old.at[key] = it.value;
    }
    for (unsigned i = 0; i < EVENT_KEY_OTHER; i++)
        if (is_absent(view.at[i]) && old.at[i])
            view.at[i] = old.at[i];
    *ret = view;
    return 0;
}

struct str event_scalar(const struct json *v, struct arena *a)
{
    struct str s = STR("");
    enum json_type type = json_type(v);
    if (type == JSON_STRING || type == JSON_NUMBER)
        (void)json_text(v, a, &s); /* cannot fail for these two types */
    return s;
}

const struct json *event_values(const struct json *container)
{
    const struct json *values = json_type(container) == JSON_ARRAY ? container : json_get(container, STR("values"));
    return json_type(values) == JSON_ARRAY ? values : NULL;
}

bool event_is_lone_element(const struct json *container)
{
    return json_type(container) == JSON_OBJECT && json_count(container) > 0 && !json_get(container, STR("values"));
}

/* The contract (C3.3) knows lists only: an exception that stands alone would be none, and all such errors of a project one issue called "Unknown", or
 * as many as they have messages. A key that throws different errors together helps nobody, so here the protocol counts (§5.5). What has neither type
 * nor value would come to the same title whatever it is: such an event is named by its message, as the contract says. */
bool event_main_exception(const struct event_view *view, const struct json **ret)
{
    const struct json *exception = view->at[EVENT_KEY_EXCEPTION], *values = event_values(exception);
    size_t n = json_count(values);
    if (event_is_lone_element(exception) &&
        !(is_absent(json_get(exception, STR("type"))) && is_absent(json_get(exception, STR("value"))))) {
        *ret = exception;
        return true;
    }
    if (n == 0)
        return false;
    *ret = json_at(values, n - 1);
    return true;
}

enum event_inference event_inference_of(const struct json *sdk)
{
    const struct json *v = json_get(json_get(sdk, STR("settings")), STR("infer_ip"));
    struct str s;
    if (is_absent(v))
        return INFER_LEGACY;
    return json_str_raw(v, &s) && str_eq_nocase(s, STR("auto")) ? INFER_AUTO : INFER_NEVER;
}

struct str event_known_level(const struct json *v, struct arena *a)
{
    static const struct {
        struct str spelling, level;
        int64_t number;
    } levels[] = {
        {STR("error"), STR("error"), 40},  {STR("warning"), STR("warning"), 30}, {STR("info"), STR("info"), 20},
        {STR("debug"), STR("debug"), 10},  {STR("fatal"), STR("fatal"), 50},     {STR("critical"), STR("fatal"), 50},
        {STR("warn"), STR("warning"), 30}, {STR("log"), STR("info"), 20},
    };
    struct str s;
    int64_t number;
    bool is_string = json_str(v, a, &s), is_number = json_i64(v, &number);
    for (size_t i = 0; i < ARRAY_LEN(levels); i++)
        if (is_string ? str_eq_nocase(s, levels[i].spelling) : is_number && number == levels[i].number)
            return levels[i].level;
    return STR("");
}
