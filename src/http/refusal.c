/* refusal.c: what libh2o refuses by itself – a malformed head, a body over the limit – and what intake.c refuses through it: libh2o answers in plain
 * text before any handler runs, by way of the host's fallback path. A filter there puts our error body and headers in place of that text, and tells
 * the module whose route it was: it is the one place that all these refusals pass, each once. */
#include "internal.h"

struct refusal_filter {
    h2o_filter_t super;
    struct http_server *server;
};

struct refusal_stream {
    h2o_ostream_t super;
    h2o_iovec_t body; /* req->pool */
};

static int error_of(int status)
{
    switch (status) {
    case 408:
        return -ERR_TOO_SLOW;
    case 413:
        return -ERR_TOO_LARGE;
    case 503:
        return -ERR_BUSY;
    case 404:
        return -ERR_NOT_FOUND;
    default:
        return -ERR_BAD_REQUEST;
    }
}

/* Without a path when the head could not be read. */
static enum route_result route_of(const struct http_server *s, const h2o_req_t *req, struct route_match *ret, struct str *ret_query)
{
    struct str path;
    http_target_split(str_of(req->input.path.base, req->input.path.len), &path, ret_query);
    unsigned method = http_method_parse(str_of(req->input.method.base, req->input.method.len));
    return route_find(s->routes, method, path, ret);
}

static void replace_body(h2o_ostream_t *super, h2o_req_t *req, h2o_iovec_t *bufs, size_t n_bufs, h2o_send_state_t state)
{
    struct refusal_stream *stream = container_of(super, struct refusal_stream, super);
    (void)bufs;
    (void)n_bufs;
    h2o_ostream_send_next(super, req, &stream->body, h2o_send_state_is_in_progress(state) ? 0 : 1, state);
}

static void on_setup_ostream(h2o_filter_t *super, h2o_req_t *req, h2o_ostream_t **slot)
{
    struct http_server *s = container_of(super, struct refusal_filter, super)->server;
    struct str query;
    struct route_match match;
    enum route_result found = route_of(s, req, &match, &query);
    enum http_access access = found == ROUTE_NO_PATH ? HTTP_PUBLIC : match.route->access;
    int r = error_of(req->res.status);
    enum call_kind kind = found == ROUTE_NO_PATH ? CALL_NO_ROUTE : access == HTTP_INGEST ? CALL_INGEST : CALL_API;
    count_answer(container_of(req->conn->ctx, struct worker, h2o), kind, req->res.status);
    AUTO_BUF struct buf out = {0};
    answer_error_body(&out, access, r, STR(""), 0);
    req->res.headers = (h2o_headers_t){NULL};
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL, H2O_STRLIT("application/json"));
    if (access == HTTP_INGEST)
        h2o_add_header_by_str(&req->pool, &req->res.headers, H2O_STRLIT("x-sentry-error"), 1, NULL, err_text(r), strlen(err_text(r)));
    if (req->res.status == 503)
        h2o_add_header_by_str(&req->pool, &req->res.headers, H2O_STRLIT("retry-after"), 1, NULL, H2O_STRLIT(HTTP_RETRY_AFTER));
    answer_common_headers(req, access);
    conn_of(req)->lingers = true; /* its body has not been read, or not all of it */
    req->res.content_length = out.n;
    req->http1_is_persistent = 0;
    struct refusal_stream *stream = (void *)h2o_add_ostream(req, sizeof *stream, slot);
    stream->body = h2o_strdup(&req->pool, out.p, out.n);
    stream->super.do_send = replace_body;
    if (found == ROUTE_FOUND)
        call_refused(req, &match, query, r);
    h2o_setup_next_ostream(req, &stream->super.next);
}

void refusal_register(h2o_pathconf_t *path, struct http_server *server)
{
    struct refusal_filter *filter = (void *)h2o_create_filter(path, sizeof *filter);
    filter->super.on_setup_ostream = on_setup_ostream;
    filter->server = server;
}
