/* cors.c: who may call from a browser (decisions.md "CORS", protocol §1.3). Ingest: every page, without credentials. The API: the dashboard's
 * origin alone, with them. A request without a token that would change something and comes from a page of another origin is refused before it is looked at
 * (contract §1.4): browsers say so, by Origin, or at least by Sec-Fetch-Site. Who says neither is no browser, such as the dashboard's own server with its
 * user's cookie (§7.1). */
#include "internal.h"

enum { REQUESTED_MAX = 1024 };

#define INGEST_HEADERS \
    "x-sentry-auth, x-requested-with, x-forwarded-for, origin, referer, accept, content-type, authentication, authorization, " \
    "content-encoding, transfer-encoding, sentry-trace, baggage, x-csrftoken"

static void add(h2o_req_t *req, struct str name, struct str value)
{
    h2o_add_header_by_str(&req->pool, &req->res.headers, name.p, name.n, 1, NULL, value.p, value.n);
}

static struct str header_of(const h2o_req_t *req, struct str name)
{
    ssize_t at = h2o_find_header_by_str(&req->headers, name.p, name.n, SIZE_MAX);
    return at < 0 ? STR("") : str_of(req->headers.entries[at].value.base, req->headers.entries[at].value.len);
}

static bool is_dashboard(const struct http_config *config, struct str origin)
{
    return origin.n > 0 && str_eq(origin, str_from(config->dashboard_origin));
}

bool cors_own_origin(const struct http_call *call)
{
    const struct http_config *config = http_config(call);
    struct str origin = header_of(call->req, STR("origin"));
    if (http_has_token(call)) /* no page has one that its user did not give it */
        return true;
    if (origin.n == 0)
        return !str_eq_nocase(header_of(call->req, STR("sec-fetch-site")), STR("cross-site"));
    if (is_dashboard(config, origin) || str_eq(origin, str_from(config->public_origin)))
        return true;
    struct str host = str_drop(origin, str_find(origin, ':') + 3); /* behind "http://" or "https://" */
    return (str_starts(origin, STR("http://")) || str_starts(origin, STR("https://"))) &&
           str_eq_nocase(host, str_of(call->req->input.authority.base, call->req->input.authority.len));
}

void cors_add(h2o_req_t *req, const struct http_config *config, enum http_access access)
{
    if (access == HTTP_INGEST) {
        add(req, STR("access-control-allow-origin"), STR("*"));
        add(req, STR("access-control-expose-headers"), STR("x-sentry-error, x-sentry-rate-limits, retry-after"));
        return;
    }
    struct str dashboard = str_from(config->dashboard_origin);
    if (dashboard.n == 0)
        return;
    add(req, STR("vary"), STR("origin"));
    if (!is_dashboard(config, header_of(req, STR("origin"))))
        return;
    add(req, STR("access-control-allow-origin"), dashboard);
    add(req, STR("access-control-allow-credentials"), STR("true"));
}

/* What the browser asked for, if it is a list of header names: it is echoed into a header. */
static struct str requested_headers(const h2o_req_t *req)
{
    struct str asked = header_of(req, STR("access-control-request-headers"));
    if (asked.n > REQUESTED_MAX)
        return STR("");
    for (size_t i = 0; i < asked.n; i++) {
        char c = asked.p[i];
        bool fine =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == ',' || c == ' ';
        if (!fine)
            return STR("");
    }
    return asked;
}

void cors_preflight(struct http_call *call, enum http_access access, unsigned allowed)
{
    char methods[HTTP_METHODS_MAX];
    struct str fixed = access == HTTP_INGEST ? STR(INGEST_HEADERS) : STR("accept, authorization, content-type");
    struct str asked = requested_headers(call->req), list = str_of(methods, http_methods_format(allowed, methods));
    list = arena_printf(&call->arena, "%.*s, OPTIONS", STR_ARG(list));
    http_add_header(call, STR("allow"), list);
    if (access == HTTP_INGEST || is_dashboard(http_config(call), header_of(call->req, STR("origin")))) {
        http_add_header(call, STR("access-control-allow-methods"), list);
        http_add_header(call, STR("access-control-allow-headers"),
                        asked.n ? arena_printf(&call->arena, "%.*s, %.*s", STR_ARG(fixed), STR_ARG(asked)) : fixed);
        http_add_header(call, STR("access-control-max-age"), STR("3600"));
    }
    http_answer_empty(call, 200);
}
