/* answer.c: sending answers. Every answer bears a length, so connections live on; errors are JSON in the shape of their route (decisions.md
 * "error bodies"). A second answer to the same request is dropped: when the server's grace is over, requests are answered for their
 * handlers, whose operations may still finish before the connection is gone. */
#include "internal.h"

#include "picket/base/clock.h"
#include "picket/base/log.h"

enum { SMALL_ANSWER = 4096, ANSWERS_SHARE = 4, ANSWERS_MAX = 16 << 20 };

static const struct {
    int status;
    const char *reason;
} reasons[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {503, "Service Unavailable"},
};

_Static_assert(ARRAY_LEN(reasons) == ANSWER_STATUSES, "each is counted");

unsigned answer_index(int status)
{
    unsigned i = 0;
    while (i < ANSWER_STATUSES && reasons[i].status != status)
        i++;
    return i;
}

int answer_status(unsigned index)
{
    return reasons[index].status;
}

const char *answer_reason(int status)
{
    unsigned i = answer_index(status);
    return i < ANSWER_STATUSES ? reasons[i].reason : "Unknown";
}

static enum http_access access_of(const struct http_call *call)
{
    return call->route ? call->route->access : HTTP_PUBLIC;
}

static enum call_kind kind_of(const struct http_call *call)
{
    return !call->route ? CALL_NO_ROUTE : call->route->access == HTTP_INGEST ? CALL_INGEST : CALL_API;
}

static void add_static(h2o_req_t *req, struct str name, struct str value)
{
    h2o_add_header_by_str(&req->pool, &req->res.headers, name.p, name.n, 1, NULL, value.p, value.n);
}

void http_add_header(struct http_call *call, struct str name, struct str value)
{
    h2o_req_t *req = call->req;
    h2o_iovec_t n = h2o_strdup(&req->pool, name.p, name.n), v = h2o_strdup(&req->pool, value.p, value.n);
    h2o_add_header_by_str(&req->pool, &req->res.headers, n.base, n.len, 1, NULL, v.base, v.len);
}

void answer_common_headers(h2o_req_t *req, enum http_access access)
{
    struct worker *w = container_of(req->conn->ctx, struct worker, h2o);
    cors_add(req, &w->pub.server->config, access);
    add_static(req, STR("cross-origin-resource-policy"), STR("cross-origin")); /* protocol §1.3: on every response */
    if (access == HTTP_INGEST)
        return;
    add_static(req, STR("cache-control"), STR("no-store"));
    add_static(req, STR("x-content-type-options"), STR("nosniff"));
    add_static(req, STR("referrer-policy"), STR("no-referrer"));
    add_static(req, STR("content-security-policy"),
               STR("sandbox; default-src 'none'; frame-ancestors 'none'")); /* should a browser show it */
}

/* A part of what bodies may take, which are files for the most part, while answers are all in memory: so no more than ANSWERS_MAX. */
size_t answers_max(const struct http_server *s)
{
    size_t share = s->config.bodies_max_bytes / ANSWERS_SHARE;
    return share < ANSWERS_MAX ? share : ANSWERS_MAX;
}

/* Whoever asks and does not read must not fill the memory with answers: beyond their share large ones become a 503. */
bool answer_fits(struct call *c, size_t bytes)
{
    struct http_server *s = c->pub.worker->server;
    if (bytes <= SMALL_ANSWER || bytes <= c->answer_bytes)
        return true;
    size_t more = bytes - c->answer_bytes;
    if (atomic_fetch_add(&s->answer_bytes, more) + more > answers_max(s)) {
        atomic_fetch_sub(&s->answer_bytes, more);
        return false;
    }
    c->answer_bytes = bytes;
    return true;
}

int http_reserve_answer(struct http_call *call, uint64_t bytes)
{
    return bytes <= SIZE_MAX / 2 && answer_fits(call_of(call), 2 * (size_t)bytes) ? 0 : -ERR_BUSY;
}

void answer_begin(struct http_call *call, int status, struct str content_type, size_t bytes)
{
    h2o_req_t *req = call->req;
    call_of(call)->answered = true;
    count_answer(worker_of(call), kind_of(call), status);
    if (worker_of(call)->state != WORKER_SERVING)
        req->http1_is_persistent = 0;
    req->res.status = status;
    req->res.reason = answer_reason(status);
    req->res.content_length = status == 204 ? SIZE_MAX : bytes;
    if (content_type.n)
        http_add_header(call, STR("content-type"), content_type);
    answer_common_headers(req, access_of(call));
}

void http_answer(struct http_call *call, int status, struct str content_type, struct str body)
{
    struct call *c = call_of(call);
    h2o_req_t *req = call->req;
    if (c->answered)
        return;
    if (!answer_fits(c, 2 * body.n)) { /* where it was made, and libh2o's copy */
        http_answer_error(call, -ERR_BUSY, STR("too many answers wait to be read"));
        return;
    }
    answer_begin(call, status, content_type, body.n);
    h2o_send_inline(req, body.p, c->is_head ? 0 : body.n);
}

void http_answer_constant(struct http_call *call, int status, struct str content_type, struct str body)
{
    static h2o_generator_t all_at_once;
    h2o_iovec_t bytes = h2o_iovec_init(body.p, body.n);
    if (call_of(call)->answered)
        return;
    answer_begin(call, status, content_type, body.n);
    h2o_start_response(call->req, &all_at_once);
    h2o_send(call->req, &bytes, call_of(call)->is_head ? 0 : 1, H2O_SEND_STATE_FINAL);
}

void http_answer_json(struct http_call *call, int status, const struct buf *json)
{
    http_answer(call, status, STR("application/json"), buf_str(json));
}

void http_answer_empty(struct http_call *call, int status)
{
    http_answer(call, status, STR(""), STR(""));
}

/* ---- errors */

static void ingest_body(struct json_writer *w, int r, struct str detail, unsigned retry_after_s)
{
    json_field_str(w, STR("detail"), str_from(err_text(r)));
    if (detail.n) {
        json_key(w, STR("causes"));
        json_begin_array(w);
        json_put_str(w, detail);
        json_end_array(w);
    }
    if (err_status(r) == 429) { /* contract §2.9's two keys */
        json_field_str(w, STR("error"), STR("rate_limit_exceeded"));
        json_field_i64(w, STR("retry_after"), retry_after_s);
    }
}

static void api_body(struct json_writer *w, int r, struct str detail)
{
    struct str message = detail.n ? detail : str_from(err_text(r));
    json_field_str(w, STR("error"), message);
    json_field_str(w, STR("message"), message);
    json_field_str(w, STR("type"), str_from(err_type(r)));
}

void answer_error_body(struct buf *out, enum http_access access, int r, struct str detail, unsigned retry_after_s)
{
    struct json_writer w;
    json_writer_init(&w, out);
    json_begin_object(&w);
    if (access == HTTP_INGEST)
        ingest_body(&w, r, detail, retry_after_s);
    else
        api_body(&w, r, detail);
    json_end_object(&w);
}

/* One line a second is enough to see an outage by; the rest is counted. */
static void complain(struct call *c, int r, int status)
{
    struct worker *w = worker_of(&c->pub);
    int64_t now = clock_mono_us();
    if (status < 500 || (w->complained_mono_us && now - w->complained_mono_us < CLOCK_US_PER_S)) {
        w->complaints_held += status >= 500;
        return;
    }
    char path[256];
    log_line(status == 503 ? LOG_WARN : LOG_ERROR, "request failed", "status=%d error=%s path=%s others=%u", status, err_name(r),
             log_quote(c->path, path, sizeof path), w->complaints_held);
    w->complained_mono_us = now;
    w->complaints_held = 0;
}

static void answer_error(struct http_call *call, int r, struct str detail, unsigned retry_after_s)
{
    struct call *c = call_of(call);
    enum http_access access = access_of(call);
    int status = err_status(r);
    if (c->answered)
        return;
    complain(c, r, status);
    if (retry_after_s)
        http_add_header(call, STR("retry-after"), arena_printf(&call->arena, "%u", retry_after_s));
    if (access == HTTP_INGEST)
        http_add_header(call, STR("x-sentry-error"), str_from(err_text(r)));
    else if (status == 401)
        http_add_header(call, STR("www-authenticate"), STR("Bearer"));
    AUTO_BUF struct buf out = {0};
    answer_error_body(&out, access, r, detail, retry_after_s);
    http_answer_json(call, status, &out);
}

void http_answer_error(struct http_call *call, int r, struct str detail)
{
    int status = err_status(r);
    answer_error(call, r, detail, status == 429 || status == 503 ? HTTP_RETRY_AFTER_S : 0);
}

void http_answer_retry(struct http_call *call, int r, struct str detail, unsigned retry_after_s)
{
    answer_error(call, r, detail, retry_after_s);
}
