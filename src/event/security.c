/* security.c: from what browsers post to events (protocol §1.6, §3.9). What a report means is in report.c; here is in which wrapping it comes and
 * which event it makes: the report as a block of its own, and what people filter by in the places where every other event has it.
 *
 * `transaction` is the directive, so that the group (title and transaction, grouping.c) is the directive and the host; `culprit` shows all of the
 * violated directive. A report of the Reporting API was made `age` milliseconds before it was sent. */
#include "picket/event/security.h"

#include "picket/base/clock.h"
#include "picket/base/error.h"
#include "report.h"

enum { TAG_MAX = 200, CULPRIT_MAX = 200, URL_MAX = 2048, HEADER_MAX = 1024, AGE_MAX_MS = 86400 * 1000 };

struct wrapped { /* one report as it came */
    enum report_kind kind;
    const struct json *block;
    int64_t age_ms;
    const struct json *url, *user_agent; /* of the Reporting API's wrapping; NULL otherwise */
};

bool security_is_report_type(struct str content_type)
{
    static const struct str types[] = {
        STR("application/csp-report"),
        STR("application/json"),
        STR("application/reports+json"),
        STR("application/expect-ct-report"),
        STR("application/expect-ct-report+json"),
        STR("application/expect-staple-report"),
        STR("application/expect-staple-report+json"),
    };
    struct str type = str_trim(str_cut(&content_type, ';'));
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (str_eq_nocase(type, types[i]))
            return true;
    return false;
}

/* ---- which report it is */

static int unwrap_reporting_api(const struct json *v, struct wrapped *ret)
{
    struct str type;
    const struct json *body = json_get(v, STR("body"));
    if (!json_str_raw(json_get(v, STR("type")), &type) || json_type(body) == JSON_NONE || !str_eq(type, STR("csp-violation")))
        return -ERR_REPORT_TYPE;
    *ret =
        (struct wrapped){.kind = REPORT_CSP, .block = body, .url = json_get(v, STR("url")), .user_agent = json_get(v, STR("user_agent"))};
    if (!json_i64(json_get(v, STR("age")), &ret->age_ms) || ret->age_ms < 0 || ret->age_ms > AGE_MAX_MS)
        ret->age_ms = 0;
    return 0;
}

static int unwrap(const struct json *v, struct wrapped *ret)
{
    static const struct {
        struct str key;
        enum report_kind kind;
        bool is_bare; /* the report is the object itself */
    } signs[] = {
        {STR("csp-report"), REPORT_CSP, false},
        {STR("expect-ct-report"), REPORT_EXPECT_CT, false},
        {STR("expect-staple-report"), REPORT_EXPECT_STAPLE, false},
        {STR("known-pins"), REPORT_HPKP, true},
        {STR("validated-certificate-chain"), REPORT_HPKP, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(signs); i++) {
        const struct json *found = json_get(v, signs[i].key);
        if (found) {
            *ret = (struct wrapped){.kind = signs[i].kind, .block = signs[i].is_bare ? v : found};
            return 0;
        }
    }
    return unwrap_reporting_api(v, ret);
}

/* ---- its event */

static void put_text(struct json_writer *w, struct str name, struct str value)
{
    if (value.n > 0)
        json_field_str(w, name, value);
}

/* The first code points of what a sender can make as long as it likes. In bytes, too: what continues no character belongs to the code point before it. */
static struct str cut(struct str s, size_t max_code_points)
{
    return str_take_code_points(str_take(s, 4 * max_code_points), max_code_points);
}

static void put_tag(struct json_writer *w, struct str name, struct str value)
{
    put_text(w, name, str_take_code_points(value, TAG_MAX));
}

static void put_tags(struct json_writer *w, const struct report *r, struct arena *a)
{
    json_key(w, STR("tags"));
    json_begin_object(w);
    if (r->kind == REPORT_CSP) {
        put_tag(w, STR("effective-directive"), report_directive(r, a));
        put_tag(w, STR("blocked-uri"), report_text(r, REPORT_BLOCKED_URI, a));
        put_tag(w, STR("disposition"), report_text(r, REPORT_DISPOSITION, a));
    } else {
        put_tag(w, STR("hostname"), report_text(r, REPORT_HOSTNAME, a));
        put_tag(w, STR("port"), report_text(r, REPORT_PORT, a));
        put_tag(w, STR("failure-mode"), report_text(r, REPORT_FAILURE_MODE, a));
        put_tag(w, STR("response-status"), report_text(r, REPORT_RESPONSE_STATUS, a));
        put_tag(w, STR("cert-status"), report_text(r, REPORT_CERT_STATUS, a));
    }
    json_end_object(w);
}

static void put_header(struct json_writer *w, struct str name, struct str value)
{
    if (value.n == 0)
        return;
    json_begin_array(w);
    json_put_str(w, name);
    json_put_str(w, cut(value, HEADER_MAX)); /* which mends what is no UTF-8 */
    json_end_array(w);
}

/* The page; of a report about a host, the host. */
static struct str page_of(const struct wrapped *in, const struct report *r, struct arena *a)
{
    struct str url = report_text(r, REPORT_DOCUMENT_URI, a), host = report_text(r, REPORT_HOSTNAME, a);
    if (url.n == 0)
        url = str_trim(event_scalar(in->url, a));
    if (url.n == 0 && host.n > 0)
        url = arena_printf(a, "https://%.*s", STR_ARG(str_take_code_points(host, URL_MAX)));
    return str_take_code_points(url, URL_MAX);
}

static void put_request(struct json_writer *w, const struct wrapped *in, const struct report *r, const struct security_origin *origin,
                        struct arena *a)
{
    struct str agent = str_trim(event_scalar(in->user_agent, a));
    json_key(w, STR("request"));
    json_begin_object(w);
    put_text(w, STR("url"), page_of(in, r, a));
    json_key(w, STR("headers"));
    json_begin_array(w);
    put_header(w, STR("User-Agent"), agent.n ? agent : origin->user_agent);
    put_header(w, STR("Origin"), origin->origin);
    put_header(w, STR("Referer"), report_text(r, REPORT_REFERRER, a));
    json_end_array(w);
    json_end_object(w);
}

static void put_event(struct json_writer *w, const struct wrapped *in, const struct report *r, const struct security_origin *origin,
                      struct str message, struct arena *a)
{
    json_begin_object(w);
    json_field_str(w, STR("type"), report_name(r->kind));
    json_field_str(w, STR("logger"), report_name(r->kind));
    if (in->age_ms > 0)
        json_field_time(w, STR("timestamp"), origin->received_us - in->age_ms * 1000);
    put_text(w, STR("release"), cut(origin->release, EVENT_MAX_RELEASE));
    put_text(w, STR("environment"), cut(origin->environment, EVENT_MAX_ENVIRONMENT));
    json_key(w, STR("logentry"));
    json_begin_object(w);
    json_field_str(w, STR("formatted"), message);
    json_end_object(w);
    if (r->kind == REPORT_CSP) {
        struct str violated = report_text(r, REPORT_VIOLATED_DIRECTIVE, a), directive = report_directive(r, a);
        json_field_str(w, STR("transaction"), directive);
        json_field_str(w, STR("culprit"), str_take_code_points(violated.n ? violated : directive, CULPRIT_MAX));
    }
    put_tags(w, r, a);
    put_request(w, in, r, origin, a);
    report_put(w, r, a);
    json_end_object(w);
}

/* ---- one after the other */

static bool bears_report(const struct json *root)
{
    struct event_view view;
    struct report r;
    return event_view_read(root, &view) == 0 && report_of_event(&view, &r);
}

int security_open(struct str body, struct security_reader *ret)
{
    struct security_reader r = {0};
    int error = json_parse(body, &r.doc, NULL);
    if (error < 0)
        return error;
    const struct json *root = json_root(r.doc);
    if (json_type(root) == JSON_ARRAY) {
        if (json_count(root) == 0) {
            json_free(r.doc);
            return -ERR_BAD_REPORT;
        }
        r.rest = json_iter(root);
        r.n_left = json_count(root);
    } else {
        r.one = root;
        r.n_left = 1;
        r.is_event = bears_report(root);
    }
    *ret = r;
    return 0;
}

static int make_event(const struct json *v, const struct security_origin *origin, struct arena *a, struct buf *out)
{
    struct wrapped in;
    struct report report;
    struct json_writer w;
    if (json_type(v) != JSON_OBJECT)
        return -ERR_BAD_REPORT;
    int r = unwrap(v, &in);
    if (r < 0)
        return r;
    if (!report_read(in.kind, in.block, &report))
        return -ERR_BAD_REPORT;
    if (report_is_junk(&report, a))
        return -ERR_JUNK_REPORT;
    struct str message = report_message(&report, a);
    if (message.n == 0)
        return -ERR_BAD_REPORT;
    json_writer_init(&w, out);
    put_event(&w, &in, &report, origin, message, a);
    return 1;
}

int security_next(struct security_reader *r, const struct security_origin *origin, struct buf *out)
{
    const struct json *v = TAKE_PTR(r->one);
    struct arena a;
    buf_clear(out);
    if (!v && json_next(&r->rest))
        v = r->rest.value;
    if (!v)
        return 0;
    r->n_left--;
    arena_init(&a);
    int result = make_event(v, origin, &a, out);
    arena_done(&a);
    return result;
}

void security_done(struct security_reader *r)
{
    json_free(r->doc);
    r->doc = NULL;
}
