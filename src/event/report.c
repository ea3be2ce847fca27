/* report.c: the meaning of security reports (protocol §3.9).
 *
 * Browsers spell one field in three ways: "blocked-uri" in the old reports, "blockedURL" in those of the Reporting API, "blocked_uri" once it is
 * stored. All are read as the last one. The message is made of the directive and the place that the blocked thing comes from and of nothing that
 * differs from page to page, so that the events of one cause have one title and are one group: places within the page's own origin, and those
 * that have no host at all (data:, blob:), are one each. */
#include "report.h"

#include "title.h"

enum { NAME_MAX_BYTES = 48, TEXT_MAX = 16384, PLACE_MAX = 200 };

enum form { FORM_TEXT, FORM_NUMBER, FORM_FLAG, FORM_ANY };

static const struct {
    struct str name;
    enum form form;
} fields[REPORT_FIELDS] = {
    [REPORT_EFFECTIVE_DIRECTIVE] = {STR("effective_directive"), FORM_TEXT},
    [REPORT_VIOLATED_DIRECTIVE] = {STR("violated_directive"), FORM_TEXT},
    [REPORT_BLOCKED_URI] = {STR("blocked_uri"), FORM_TEXT},
    [REPORT_DOCUMENT_URI] = {STR("document_uri"), FORM_TEXT},
    [REPORT_ORIGINAL_POLICY] = {STR("original_policy"), FORM_TEXT},
    [REPORT_REFERRER] = {STR("referrer"), FORM_TEXT},
    [REPORT_STATUS_CODE] = {STR("status_code"), FORM_NUMBER},
    [REPORT_SOURCE_FILE] = {STR("source_file"), FORM_TEXT},
    [REPORT_LINE_NUMBER] = {STR("line_number"), FORM_NUMBER},
    [REPORT_COLUMN_NUMBER] = {STR("column_number"), FORM_NUMBER},
    [REPORT_SCRIPT_SAMPLE] = {STR("script_sample"), FORM_TEXT},
    [REPORT_DISPOSITION] = {STR("disposition"), FORM_TEXT},
    [REPORT_DATE_TIME] = {STR("date_time"), FORM_TEXT},
    [REPORT_HOSTNAME] = {STR("hostname"), FORM_TEXT},
    [REPORT_PORT] = {STR("port"), FORM_NUMBER},
    [REPORT_SCHEME] = {STR("scheme"), FORM_TEXT},
    [REPORT_EXPIRATION_DATE] = {STR("effective_expiration_date"), FORM_TEXT},
    [REPORT_INCLUDE_SUBDOMAINS] = {STR("include_subdomains"), FORM_FLAG},
    [REPORT_NOTED_HOSTNAME] = {STR("noted_hostname"), FORM_TEXT},
    [REPORT_SERVED_CHAIN] = {STR("served_certificate_chain"), FORM_ANY},
    [REPORT_VALIDATED_CHAIN] = {STR("validated_certificate_chain"), FORM_ANY},
    [REPORT_KNOWN_PINS] = {STR("known_pins"), FORM_ANY},
    [REPORT_SCTS] = {STR("scts"), FORM_ANY},
    [REPORT_FAILURE_MODE] = {STR("failure_mode"), FORM_TEXT},
    [REPORT_TEST_REPORT] = {STR("test_report"), FORM_FLAG},
    [REPORT_RESPONSE_STATUS] = {STR("response_status"), FORM_TEXT},
    [REPORT_CERT_STATUS] = {STR("cert_status"), FORM_TEXT},
    [REPORT_OCSP_RESPONSE] = {STR("ocsp_response"), FORM_ANY},
};

/* ---- reading */

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

/* "blockedURL" and "blocked-uri" are "blocked_url" and "blocked_uri". Too long for any field: as it is. */
static struct str snake(struct str key, char dst[2 * NAME_MAX_BYTES])
{
    size_t n = 0;
    if (key.n > NAME_MAX_BYTES)
        return key;
    for (size_t i = 0; i < key.n; i++) {
        char c = key.p[i];
        if (is_upper(c) && i > 0 && !is_upper(key.p[i - 1]))
            dst[n++] = '_';
        dst[n++] = (char)(c == '-' ? '_' : lower(c));
    }
    return str_of(dst, n);
}

/* REPORT_FIELDS: none of ours. */
static enum report_field field_of(struct str key)
{
    static const struct {
        struct str name;
        enum report_field field;
    } others[] = {{STR("document_url"), REPORT_DOCUMENT_URI},
                  {STR("blocked_url"), REPORT_BLOCKED_URI},
                  {STR("sample"), REPORT_SCRIPT_SAMPLE}};
    char text[2 * NAME_MAX_BYTES];
    struct str name = snake(key, text);
    for (unsigned i = 0; i < REPORT_FIELDS; i++)
        if (str_eq(fields[i].name, name))
            return (enum report_field)i;
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (str_eq(others[i].name, name))
            return others[i].field;
    return REPORT_FIELDS;
}

bool report_read(enum report_kind kind, const struct json *block, struct report *ret)
{
    struct report r = {.kind = kind, .block = block};
    if (json_type(block) != JSON_OBJECT)
        return false;
    for (struct json_iter it = json_iter(block); json_next(&it);) {
        struct str key;
        enum report_field field = json_str_raw(it.key, &key) ? field_of(key) : REPORT_FIELDS;
        if (field != REPORT_FIELDS && json_type(it.value) > JSON_NULL)
            r.at[field] = it.value;
    }
    *ret = r;
    return true;
}

bool report_of_event(const struct event_view *view, struct report *ret)
{
    static const struct {
        enum event_key key;
        enum report_kind kind;
    } blocks[] = {{EVENT_KEY_CSP, REPORT_CSP},
                  {EVENT_KEY_HPKP, REPORT_HPKP},
                  {EVENT_KEY_EXPECTCT, REPORT_EXPECT_CT},
                  {EVENT_KEY_EXPECTSTAPLE, REPORT_EXPECT_STAPLE}};
    const struct json *exception;
    if (event_main_exception(view, &exception))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(blocks); i++)
        if (report_read(blocks[i].kind, view->at[blocks[i].key], ret))
            return true;
    return false;
}

struct str report_name(enum report_kind kind)
{
    switch (kind) {
    case REPORT_CSP:
        return event_key_name(EVENT_KEY_CSP);
    case REPORT_HPKP:
        return event_key_name(EVENT_KEY_HPKP);
    case REPORT_EXPECT_CT:
        return event_key_name(EVENT_KEY_EXPECTCT);
    case REPORT_EXPECT_STAPLE:
        return event_key_name(EVENT_KEY_EXPECTSTAPLE);
    case REPORT_NONE:
        break;
    }
    return STR("");
}

struct str report_text(const struct report *r, enum report_field field, struct arena *a)
{
    return str_trim(event_scalar(r->at[field], a));
}

/* ---- the sentence */

static struct str lower_copy(struct str s, struct arena *a)
{
    char *dst = arena_cstr(a, s);
    for (size_t i = 0; i < s.n; i++)
        dst[i] = lower(dst[i]);
    return str_of(dst, s.n);
}

struct str report_directive(const struct report *r, struct arena *a)
{
    struct str s = report_text(r, REPORT_EFFECTIVE_DIRECTIVE, a);
    if (s.n == 0)
        s = report_text(r, REPORT_VIOLATED_DIRECTIVE, a);
    return lower_copy(str_take_code_points(str_cut(&s, ' '), PLACE_MAX), a);
}

/* scheme://authority of an URL; *ret_authority is "" when there is none. */
static struct str scheme_of(struct str uri, struct str *ret_authority)
{
    size_t colon = str_find(uri, ':');
    struct str scheme = str_take(uri, colon), rest = str_drop(uri, colon);
    *ret_authority = STR("");
    if (!str_starts(rest, STR("://")))
        return colon < uri.n ? scheme : STR("");
    rest = str_drop(rest, 3);
    size_t end = 0;
    while (end < rest.n && rest.p[end] != '/' && rest.p[end] != '?' && rest.p[end] != '#')
        end++;
    rest = str_take(rest, end);
    size_t at = str_find(rest, '@');
    *ret_authority = at < rest.n ? str_drop(rest, at + 1) : rest;
    return scheme;
}

/* Browsers write these without anything behind them, too. */
static bool is_bare_scheme(struct str s)
{
    static const struct str schemes[] = {STR("data"), STR("blob"), STR("filesystem"), STR("mediastream"), STR("about"), STR("file")};
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
        if (str_eq_nocase(s, schemes[i]))
            return true;
    return false;
}

/* Where the blocked thing comes from: a host, "self", "data:"; or what it is: "inline", "eval". "" when the browser did not say. */
static struct str blocked_place(const struct report *r, struct arena *a)
{
    struct str uri = report_text(r, REPORT_BLOCKED_URI, a), document = report_text(r, REPORT_DOCUMENT_URI, a), host, own;
    if (uri.n == 0)
        return STR("");
    if (str_eq_nocase(uri, STR("'self'")))
        return STR("self");
    struct str scheme = scheme_of(uri, &host);
    (void)scheme_of(document, &own); /* of the document only the host matters */
    if (host.n > 0 && str_eq_nocase(host, own))
        return STR("self");
    if (host.n > 0)
        return lower_copy(str_take_code_points(host, PLACE_MAX), a);
    if (scheme.n > 0 || is_bare_scheme(uri))
        return arena_printf(a, "%.*s:", STR_ARG(lower_copy(str_take_code_points(scheme.n ? scheme : uri, PLACE_MAX), a)));
    return lower_copy(str_take_code_points(str_take(uri, str_find(uri, '/')), PLACE_MAX), a);
}

/* What the directive is about: 'script' of script-src, script-src-elem and script-src-attr. */
static struct str noun_of(struct str directive)
{
    if (str_starts(directive, STR("img-src")))
        return STR("image");
    for (size_t i = 0; i + 4 <= directive.n; i++)
        if (i > 0 && str_starts(str_drop(directive, i), STR("-src")))
            return str_take(directive, i);
    return directive;
}

static struct str csp_message(const struct report *r, struct arena *a)
{
    struct str directive = report_directive(r, a), noun = noun_of(directive), place = blocked_place(r, a);
    bool runs = str_eq(noun, STR("script")) || str_eq(noun, STR("style")) || str_eq(noun, STR("default"));
    if (directive.n == 0)
        return STR("");
    if (str_eq(place, STR("inline")))
        return arena_printf(a, "Blocked inline '%.*s'", STR_ARG(noun));
    if (str_eq(place, STR("eval")) || str_eq(place, STR("wasm-eval")))
        return arena_printf(a, "Blocked %.*s in '%.*s'", STR_ARG(place), STR_ARG(noun));
    if (place.n == 0 && runs) /* old browsers do not tell them apart */
        return arena_printf(a, "Blocked inline or eval '%.*s'", STR_ARG(noun));
    if (place.n == 0)
        return arena_printf(a, "Blocked '%.*s'", STR_ARG(noun));
    return arena_printf(a, "Blocked '%.*s' from '%.*s'", STR_ARG(noun), STR_ARG(place));
}

struct str report_message(const struct report *r, struct arena *a)
{
    static const struct str beginnings[] = {[REPORT_HPKP] = STR("Public key pinning validation failed for '"),
                                            [REPORT_EXPECT_CT] = STR("Expect-CT failed for '"),
                                            [REPORT_EXPECT_STAPLE] = STR("Expect-Staple failed for '")};
    if (r->kind == REPORT_CSP)
        return csp_message(r, a);
    struct str host = lower_copy(str_take_code_points(report_text(r, REPORT_HOSTNAME, a), PLACE_MAX), a);
    return host.n ? event_concat(a, (struct str[]){beginnings[r->kind], host, STR("'")}, 3) : STR("");
}

bool report_is_junk(const struct report *r, struct arena *a)
{
    static const struct str schemes[] = {
        STR("chrome"),          STR("chrome-extension"),     STR("moz-extension"), STR("safari-extension"),     STR("safari-web-extension"),
        STR("safari-resource"), STR("ms-browser-extension"), STR("resource"),      STR("webviewprogressproxy"), STR("chromeinvoke"),
        STR("chromenull"),
    };
    static const enum report_field places[] = {REPORT_BLOCKED_URI, REPORT_SOURCE_FILE};
    for (size_t p = 0; p < ARRAY_LEN(places) && r->kind == REPORT_CSP; p++) {
        struct str host, uri = report_text(r, places[p], a), scheme = scheme_of(uri, &host);
        for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
            if (str_eq_nocase(scheme.n ? scheme : uri, schemes[i]))
                return true;
    }
    return false;
}

/* ---- writing */

static void put_field(struct json_writer *w, struct str name, enum form form, const struct json *v, struct arena *a)
{
    struct str s;
    bool flag, is_scalar = json_type(v) < JSON_ARRAY;
    int64_t number;
    switch (form) {
    case FORM_TEXT:
        if (is_scalar && json_text(v, a, &s))
            json_field_str(w, name, str_take_code_points(s, TEXT_MAX));
        return;
    case FORM_NUMBER:
        if (json_i64(v, &number) || (json_str_raw(v, &s) && str_to_i64(str_trim(s), &number)))
            json_field_i64(w, name, number);
        return;
    case FORM_FLAG:
        if (json_bool(v, &flag))
            json_field_bool(w, name, flag);
        return;
    case FORM_ANY:
        json_key(w, name);
        json_put_value(w, v);
        return;
    }
}

void report_put(struct json_writer *w, const struct report *r, struct arena *a)
{
    json_key(w, report_name(r->kind));
    json_begin_object(w);
    for (unsigned i = 0; i < REPORT_FIELDS; i++)
        if (r->at[i])
            put_field(w, fields[i].name, fields[i].form, r->at[i], a);
    for (struct json_iter it = json_iter(r->block); json_next(&it);) {
        struct str raw, key;
        if (!json_str_raw(it.key, &raw) || field_of(raw) != REPORT_FIELDS || !json_str(it.key, a, &key))
            continue;
        json_key(w, key);
        json_put_value(w, it.value);
    }
    json_end_object(w);
}
