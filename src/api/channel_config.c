/* channel_config.c: an alert channel's config, checked member by member: tables say which members a type has. Members that no table names are kept as they
 * are. A user's name and password in a URL are refused: what is in headers is shown to nobody, a URL is. */
#include "channel_config.h"

enum { URL_MAX = 2048, VALUE_MAX = 1024, RECIPIENT_MAX = 320, RECIPIENTS_MAX = 50, HEADERS_MAX = 50, PORT_MAX = 65535 };

static const struct str stars = STR("********"), slack_stars = STR("https://hooks.slack.com/services/********");

bool channel_type_read(struct str name, enum channel_type *ret)
{
    static const struct str names[CHANNEL_TYPES] = {
        [CHANNEL_WEBHOOK] = STR("webhook"), [CHANNEL_SLACK] = STR("slack"), [CHANNEL_EMAIL] = STR("email")};
    for (unsigned i = 0; i < CHANNEL_TYPES; i++)
        if (str_eq(names[i], name)) {
            *ret = (enum channel_type)i;
            return true;
        }
    return false;
}

static bool is_absent(const struct json *v)
{
    return json_type(v) == JSON_NONE || json_type(v) == JSON_NULL;
}

/* Of one line. */
static bool is_text(const struct json *v, size_t max, struct str *ret)
{
    if (!json_str_raw(v, ret) || ret->n > max || !str_is_utf8(*ret))
        return false;
    for (size_t i = 0; i < ret->n; i++)
        if ((uint8_t)ret->p[i] < ' ' || ret->p[i] == 0x7F)
            return false;
    return true;
}

/* Members that are texts of one line or null. "": they are. */
static struct str check_texts(const struct json *config, const char *const *names, size_t n, struct arena *a)
{
    struct str text;
    for (size_t i = 0; i < n; i++) {
        const struct json *v = json_get(config, str_from(names[i]));
        if (!is_absent(v) && !is_text(v, VALUE_MAX, &text))
            return arena_printf(a, "%s must be a text of one line and at most %d bytes", names[i], VALUE_MAX);
    }
    return STR("");
}

struct url {
    bool is_https, has_user;
    struct str authority;
};

/* The name or address of a host, and a port. */
static bool is_authority(struct str s)
{
    bool is_address = str_starts(s, STR("["));
    size_t end = is_address ? str_find(s, ']') : str_find(s, ':');
    struct str host = str_take(s, end), port = str_drop(s, is_address ? end + 1 : end);
    int64_t number;
    if (host.n <= is_address || end == (is_address ? s.n : 0))
        return false;
    for (size_t i = is_address; i < host.n; i++) {
        char c = host.p[i];
        bool is_hex = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'f');
        bool is_letter = (c | 32) >= 'a' && (c | 32) <= 'z';
        if (is_address ? !is_hex && c != ':' && c != '.' : !is_hex && !is_letter && (uint8_t)c < 0x80 && !memchr(".-_", c, 3))
            return false;
    }
    return port.n == 0 || (*port.p == ':' && port.n <= 6 && str_to_i64(str_drop(port, 1), &number) && number > 0 && number <= PORT_MAX);
}

/* Of http or https: RFC 3986 §3.2, without its rarer hosts. */
static bool read_url(struct str text, struct url *ret)
{
    const struct str http = STR("http://"), https = STR("https://");
    ret->is_https = str_starts_nocase(text, https);
    if (!ret->is_https && !str_starts_nocase(text, http))
        return false;
    if (str_find(text, ' ') < text.n || str_find(text, '\\') < text.n)
        return false;
    text = str_drop(text, ret->is_https ? https.n : http.n);
    size_t n = 0;
    while (n < text.n && !memchr("/?#", text.p[n], 3))
        n++;
    ret->authority = str_take(text, n);
    ret->has_user = str_find(ret->authority, '@') < n;
    return ret->has_user || is_authority(ret->authority);
}

/* A name as RFC 9110 §5.1 has it. */
static bool is_header_name(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((uint8_t)s.p[i] <= ' ' || (uint8_t)s.p[i] >= 0x7F || memchr("\"(),/:;<=>?@[\\]{}", s.p[i], 17))
            return false;
    return s.n > 0 && s.n <= VALUE_MAX;
}

static struct str check_headers(const struct json *headers, enum config_use use)
{
    struct str name, value;
    if (is_absent(headers))
        return STR("");
    if (json_type(headers) != JSON_OBJECT || json_count(headers) > HEADERS_MAX)
        return STR("Invalid webhook config: headers must be an object of at most 50 texts");
    for (struct json_iter it = json_iter(headers); json_next(&it);) {
        if (!json_str_raw(it.key, &name) || !is_header_name(name) || !is_text(it.value, VALUE_MAX, &value))
            return STR("Invalid webhook config: headers must be names of headers with texts of one line");
        if (use == CONFIG_NEW && str_eq(value, stars))
            return STR("Invalid webhook config: a header's value is needed, not what is shown for one");
    }
    return STR("");
}

static struct str check_webhook(const struct json *config, enum config_use use, struct arena *a)
{
    static const char *const texts[] = {"secret"};
    struct str text, why = check_texts(config, texts, ARRAY_LEN(texts), a);
    struct url url;
    const struct json *v = json_get(config, STR("url"));
    if (why.n > 0)
        return arena_printf(a, "Invalid webhook config: %.*s", STR_ARG(why));
    if (is_absent(v) || (json_str_raw(v, &text) && text.n == 0))
        return STR("Webhook URL is required");
    if (!is_text(v, URL_MAX, &text))
        return STR("Invalid webhook URL format");
    if (!read_url(text, &url))
        return str_find(text, ':') < text.n && memmem(text.p, text.n, "://", 3) && !str_starts_nocase(text, STR("http"))
                   ? STR("Webhook URL must use HTTP or HTTPS")
                   : STR("Invalid webhook URL format");
    if (url.has_user)
        return STR("Webhook URL must not hold a user's name: send credentials in headers");
    if (use == CONFIG_NEW && json_str_raw(json_get(config, STR("secret")), &text) && str_eq(text, stars))
        return STR("Invalid webhook config: a secret is needed, not what is shown for one");
    return check_headers(json_get(config, STR("headers")), use);
}

static struct str check_slack(const struct json *config, enum config_use use, struct arena *a)
{
    static const char *const texts[] = {"channel", "username", "icon_emoji"};
    struct str text, why = check_texts(config, texts, ARRAY_LEN(texts), a);
    struct url url;
    const struct json *v = json_get(config, STR("webhook_url"));
    if (why.n > 0)
        return arena_printf(a, "Invalid Slack config: %.*s", STR_ARG(why));
    if (is_absent(v) || (json_str_raw(v, &text) && text.n == 0))
        return STR("Slack webhook URL is required");
    if (!is_text(v, URL_MAX, &text) || !read_url(text, &url))
        return STR("Invalid Slack webhook URL format");
    if (!url.is_https)
        return STR("Slack webhook URL must use HTTPS");
    if (!str_eq_nocase(url.authority, STR("hooks.slack.com")))
        return STR("Invalid Slack webhook URL: host must be hooks.slack.com");
    if (use == CONFIG_NEW && str_eq(text, slack_stars))
        return STR("Invalid Slack webhook URL: it is needed, not what is shown for it");
    return STR("");
}

/* Enough to catch a slip: whether mail arrives shows when it is sent. */
static bool is_recipient(const struct json *v, struct str *ret)
{
    return is_text(v, RECIPIENT_MAX, ret) && ret->n >= 5 && str_find(*ret, '@') < ret->n;
}

static struct str check_email(const struct json *config, enum config_use use, struct arena *a)
{
    static const char *const texts[] = {"smtp_host", "smtp_username", "smtp_password", "from_address"};
    const struct json *recipients = json_get(config, STR("recipients")), *port = json_get(config, STR("smtp_port"));
    struct str text, why = check_texts(config, texts, ARRAY_LEN(texts), a);
    int64_t number;
    if (why.n > 0)
        return arena_printf(a, "Invalid email config: %.*s", STR_ARG(why));
    if (json_type(recipients) != JSON_ARRAY || json_count(recipients) == 0)
        return STR("At least one email recipient is required");
    if (json_count(recipients) > RECIPIENTS_MAX)
        return STR("Invalid email config: at most 50 recipients");
    for (struct json_iter it = json_iter(recipients); json_next(&it);)
        if (!is_recipient(it.value, &text))
            return json_str(it.value, a, &text) ? arena_printf(a, "Invalid email address: %.*s", STR_ARG(str_take_code_points(text, 80)))
                                                : STR("Invalid email config: recipients must be texts");
    if (!is_absent(port) && (!json_i64(port, &number) || number < 0 || number > PORT_MAX))
        return STR("Invalid email config: smtp_port must be a whole number from 0 to 65535");
    if (!json_str_raw(json_get(config, STR("smtp_host")), &text) || text.n == 0)
        return STR("SMTP host must be configured: smtp_host");
    if (use == CONFIG_NEW && json_str_raw(json_get(config, STR("smtp_password")), &text) && str_eq(text, stars))
        return STR("Invalid email config: a password is needed, not what is shown for one");
    return STR("");
}

struct str channel_config_check(enum channel_type type, const struct json *config, enum config_use use, struct arena *a)
{
    switch (type) {
    case CHANNEL_WEBHOOK:
        return check_webhook(config, use, a);
    case CHANNEL_SLACK:
        return check_slack(config, use, a);
    case CHANNEL_EMAIL:
        return check_email(config, use, a);
    case CHANNEL_TYPES:
        break;
    }
    return STR("");
}
