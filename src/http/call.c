/* call.c: the way of a request through the preamble that no handler repeats:
 *
 *   head (guard.c) → route → preflight, 404, 405 → foreign origin? → authenticate.c, permit.c → JSON body → handler
 *
 * and what handlers ask about a request. A call lives in req->pool; its dispose callback runs after those of everything that the handler
 * allocated later, because libh2o releases shared chunks newest first, so an operation may use its call while it cancels itself. */
#include "internal.h"

#include <netinet/in.h>
#include <sys/mman.h>

#include "picket/base/clock.h"
#include "picket/base/ip.h"
#include "picket/base/log.h"
#include "picket/http/address.h"
#include "picket/http/guard.h"
#include "picket/protocol/encoding.h"

static struct str str_of_iovec(h2o_iovec_t v)
{
    return str_of(v.base, v.len);
}

static void log_access(const struct call *c)
{
    char path[256];
    struct str method = str_of_iovec(c->pub.req->input.method);
    log_line(LOG_DEBUG, "request", "method=%.*s path=%s status=%d bytes=%zu ms=%.1f", STR_ARG(str_take(method, 16)),
             log_quote(c->path, path, sizeof path), c->pub.req->res.status, c->pub.req->bytes_sent,
             (double)(clock_mono_us() - c->began_mono_us) / 1000);
}

static void call_dispose(void *memory)
{
    struct call *c = memory;
    log_access(c);
    list_remove(&c->link);
    metric_add(&worker_of(&c->pub)->counts->over, 1);
    atomic_fetch_sub(&c->pub.worker->server->body_bytes, c->charged);
    atomic_fetch_sub(&c->pub.worker->server->answer_bytes, c->answer_bytes);
    json_free(c->pub.body);
    arena_done(&c->pub.arena);
}

static struct call *call_new(h2o_req_t *req)
{
    struct worker *w = container_of(req->conn->ctx, struct worker, h2o);
    struct call *c = h2o_mem_alloc_shared(&req->pool, sizeof *c, call_dispose);
    *c = (struct call){.pub = {.req = req, .worker = &w->pub}, .began_mono_us = clock_mono_us()};
    c->is_head = str_eq(str_of_iovec(req->input.method), STR("HEAD"));
    list_push_back(&w->calls, &c->link);
    metric_add(&w->counts->begun, 1);
    arena_init(&c->pub.arena);
    conn_of(req)->req = req;
    conn_set_phase(conn_of(req), CONN_WORKING);
    return c;
}

/* ---- the preamble */

static bool is_json_type(struct str type)
{
    type = str_trim(str_take(type, str_find(type, ';')));
    size_t slash = str_find(type, '/');
    struct str subtype = str_drop(type, slash + 1);
    return str_eq_nocase(subtype, STR("json")) || (subtype.n > 5 && str_eq_nocase(str_drop(subtype, subtype.n - 5), STR("+json")));
}

/* Deeper than anything that a handler asks for. */
static bool is_deep(const struct json *root)
{
    enum { LEVELS_MAX = 64 };
    struct json_walk walk;
    bool deep = false;
    json_walk_start(&walk, root);
    while (!deep && json_walk_next(&walk))
        deep = walk.depth > LEVELS_MAX;
    json_walk_done(&walk);
    return deep;
}

static int parse_body(struct http_call *call, struct str text)
{
    size_t at = 0;
    int r = text.n > HTTP_JSON_MAX ? -ERR_TOO_LARGE : json_parse(text, &call->body, &at);
    if (r < 0) {
        http_answer_error(call, r, r == -ERR_BAD_JSON ? arena_printf(&call->arena, "invalid JSON data at byte %zu", at) : STR(""));
    } else if (json_type(json_root(call->body)) != JSON_OBJECT) {
        r = -ERR_INVALID;
        http_answer_error(call, r, STR("the body must be a JSON object"));
    } else if (is_deep(json_root(call->body))) {
        r = -ERR_INVALID;
        http_answer_error(call, r, STR("the body has more than 64 levels"));
    }
    return r;
}

/* <0: answered. */
static int read_json_body(struct http_call *call)
{
    enum content_encoding encoding;
    AUTO_BUF struct buf decoded = {0};
    struct str text = http_body_bytes(call);
    int r = encoding_parse(http_header(call, "content-encoding"), &encoding);
    if (r == 0 && encoding != ENCODING_IDENTITY) {
        r = text.n > HTTP_JSON_MAX ? -ERR_TOO_LARGE : encoding_decode(encoding, text, HTTP_JSON_MAX, &decoded);
        text = buf_str(&decoded);
    }
    if (r < 0) {
        http_answer_error(call, r, STR(""));
        return r;
    }
    return parse_body(call, text);
}

/* Contract §1.4: whatever has a body says that it is JSON, which a foreign page cannot without a preflight. */
static void enter(struct http_call *call)
{
    bool json_wanted = call->route->body == HTTP_JSON_BODY;
    if (call->route->access != HTTP_INGEST && call->route->method != HTTP_GET && (json_wanted || call->req->entity.len > 0) &&
        !is_json_type(http_header(call, "content-type"))) {
        http_answer_error(call, -ERR_MEDIA_TYPE, STR(""));
        return;
    }
    if (json_wanted && read_json_body(call) < 0)
        return;
    call->route->handler(call);
}

static void admit(struct http_call *call)
{
    if (call->route->access != HTTP_INGEST && call->route->method != HTTP_GET && !cors_own_origin(call)) {
        http_answer_error(call, -ERR_FORBIDDEN, STR("requests from that origin are not accepted"));
        return;
    }
    if (call->route->access == HTTP_PUBLIC || call->route->access == HTTP_INGEST)
        enter(call);
    else
        authenticate(call, enter);
}

static struct str decoded_param(struct http_call *call, struct str raw)
{
    if (str_find(raw, '%') == raw.n)
        return raw;
    char *dst = arena_alloc(&call->arena, raw.n);
    return str_of(dst, str_percent_decode(raw, dst));
}

static void take_match(struct http_call *call, const struct route_match *match)
{
    call->route = match->route;
    call->module = match->ctx;
    for (unsigned i = 0; i < match->n_params; i++)
        call->params[i] = decoded_param(call, match->params[i]);
}

static void answer_bad_method(struct http_call *call, unsigned allowed)
{
    char methods[HTTP_METHODS_MAX];
    http_add_header(call, STR("allow"), str_of(methods, http_methods_format(allowed, methods)));
    http_answer_error(call, -ERR_BAD_METHOD, STR(""));
}

static void dispatch(struct http_call *call, enum route_result found, const struct route_match *match)
{
    switch (found) {
    case ROUTE_NO_PATH:
        http_answer_error(call, -ERR_NOT_FOUND, STR(""));
        return;
    case ROUTE_NO_METHOD:
        if (str_eq(str_of_iovec(call->req->input.method), STR("OPTIONS")))
            cors_preflight(call, match->route->access, match->allowed);
        else
            answer_bad_method(call, match->allowed);
        return;
    case ROUTE_FOUND:
        admit(call);
        return;
    }
}

/* The head is still at the start of the input buffer: libh2o consumes it when the answer is sent. */
static int check_head(const h2o_req_t *req, struct str *ret_why)
{
    const h2o_buffer_t *input = req->conn->callbacks->get_socket(req->conn)->input;
    return guard_head(str_of(input->bytes, input->size), ret_why);
}

static int on_req(h2o_handler_t *self, h2o_req_t *req)
{
    (void)self;
    struct call *c = call_new(req);
    struct http_call *call = &c->pub;
    struct str why = STR("");
    struct route_match match;
    http_target_split(str_of_iovec(req->input.path), &c->path, &call->query);
    unsigned method = http_method_parse(str_of_iovec(req->input.method));
    enum route_result found = route_find(call->worker->server->routes, method, c->path, &match);
    if (found != ROUTE_NO_PATH)
        take_match(call, &match); /* says in which shape errors are answered */
    int r = check_head(req, &why);
    if (r < 0) {
        conn_of(req)->lingers = true;
        req->http1_is_persistent = 0; /* whatever follows cannot be trusted to be a request */
        http_answer_error(call, r, why);
    } else {
        dispatch(call, found, &match);
    }
    return 0;
}

static const struct http_module *module_of(const struct http_server *s, const struct route_match *match)
{
    for (unsigned i = 0; i < s->n_modules; i++)
        if (s->modules[i].ctx == match->ctx)
            return &s->modules[i];
    return NULL;
}

void call_refused(h2o_req_t *req, const struct route_match *match, struct str query, int r)
{
    struct worker *w = container_of(req->conn->ctx, struct worker, h2o);
    const struct http_module *module = module_of(w->pub.server, match);
    const h2o_buffer_t *input = req->conn->callbacks->get_socket(req->conn)->input;
    if (!module || !module->refused)
        return;
    struct http_call call = {.req = req, .worker = &w->pub, .query = query};
    arena_init(&call.arena);
    take_match(&call, match);
    module->refused(&call, r, guard_body_bytes(str_of(input->bytes, input->size)));
    arena_done(&call.arena);
}

void call_register(h2o_pathconf_t *path)
{
    h2o_create_handler(path, sizeof(h2o_handler_t))->on_req = on_req;
}

/* ---- what handlers ask */

int64_t http_began_us(const struct http_call *call)
{
    return call_of(call)->began_mono_us;
}

const struct http_config *http_config(const struct http_call *call)
{
    return &call->worker->server->config;
}

struct str http_header(const struct http_call *call, const char *lower_case_name)
{
    const h2o_headers_t *headers = &call->req->headers;
    ssize_t at = h2o_find_header_by_str(headers, lower_case_name, strlen(lower_case_name), SIZE_MAX);
    return at < 0 ? STR("") : str_of_iovec(headers->entries[at].value);
}

struct str http_header_next(const struct http_call *call, const char *lower_case_name, size_t *at)
{
    const h2o_headers_t *headers = &call->req->headers;
    ssize_t found = h2o_find_header_by_str(headers, lower_case_name, strlen(lower_case_name), (ssize_t)*at);
    *at = (size_t)found;
    return found < 0 ? (struct str){NULL, 0} : str_of_iovec(headers->entries[found].value);
}

struct str http_body_bytes(const struct http_call *call)
{
    return str_of_iovec(call->req->entity);
}

/* libh2o's buffer begins with its own head, in the file as in memory; the body lies behind it, decoded in its place if it came in chunks. */
bool http_body_map(const struct http_call *call, struct http_body_map *ret)
{
    const h2o_buffer_t *input = call->req->conn->callbacks->get_socket(call->req->conn)->input;
    const char *start = (const char *)input, *body = call->req->entity.base;
    size_t n = call->req->entity.len, size = offsetof(h2o_buffer_t, _buf) + input->capacity;
    if (!input->bytes || input->_fd < 0 || body < start || n > size || (size_t)(body - start) > size - n)
        return false;
    size_t offset = (size_t)(body - start);
    void *base = mmap(NULL, offset + n, PROT_READ, MAP_SHARED, input->_fd, 0);
    if (base == MAP_FAILED)
        return false;
    *ret = (struct http_body_map){.base = base, .size = offset + n, .bytes = str_of((const char *)base + offset, n)};
    return true;
}

void http_body_unmap(struct http_body_map *map)
{
    if (map->base)
        (void)munmap(map->base, map->size); /* ours, whole */
    *map = (struct http_body_map){0};
}

bool http_query_param(struct http_call *call, struct str name, struct str *ret)
{
    for (struct str rest = call->query; rest.p && rest.n;) {
        struct str value = str_cut(&rest, '&');
        if (!str_eq(str_cut(&value, '='), name))
            continue;
        char *dst = arena_alloc(&call->arena, value.n + 1);
        *ret = str_of(dst, str_percent_decode(value, dst));
        return true;
    }
    return false;
}

static void peer_address(const struct http_call *call, uint8_t ret[16])
{
    struct sockaddr_storage peer;
    memset(ret, 0, 16);
    if (call->req->conn->callbacks->get_peername(call->req->conn, (struct sockaddr *)&peer) == 0)
        return;
    if (peer.ss_family == AF_INET) {
        ret[10] = ret[11] = 0xff;
        memcpy(ret + 12, &((struct sockaddr_in *)(void *)&peer)->sin_addr, 4);
    } else if (peer.ss_family == AF_INET6) {
        memcpy(ret, &((struct sockaddr_in6 *)(void *)&peer)->sin6_addr, 16);
    }
}

static struct str address_text(struct http_call *call, const uint8_t addr[16])
{
    char *text = arena_alloc(&call->arena, IP_TEXT_MAX);
    return str_of(text, ip_format(addr, text));
}

/* All lines of that name as one list, in the arena when there are several; p == NULL: none. */
static struct str joined_header(struct http_call *call, const char *lower_case_name)
{
    size_t at = SIZE_MAX;
    struct str all = http_header_next(call, lower_case_name, &at), more;
    while (at != SIZE_MAX && (more = http_header_next(call, lower_case_name, &at)).p)
        all = arena_printf(&call->arena, "%.*s,%.*s", STR_ARG(all), STR_ARG(more));
    return all;
}

struct str http_client_address(struct http_call *call, uint8_t ret_addr[16])
{
    const struct http_networks *trusted = &http_config(call)->trusted_proxies;
    peer_address(call, ret_addr);
    if (http_networks_have(trusted, ret_addr))
        http_address_forwarded(trusted, joined_header(call, "x-forwarded-for"), joined_header(call, "forwarded"), ret_addr);
    return address_text(call, ret_addr);
}

void *http_on_dispose(struct http_call *call, size_t size, void (*dispose)(void *memory))
{
    void *memory = h2o_mem_alloc_shared(&call->req->pool, size, dispose);
    memset(memory, 0, size);
    return memory;
}

static bool fits(struct http_server *s, size_t bytes)
{
    if (atomic_fetch_add(&s->body_bytes, bytes) + bytes <= s->config.bodies_max_bytes)
        return true;
    atomic_fetch_sub(&s->body_bytes, bytes);
    return false;
}

int http_charge_body(struct http_call *call, size_t bytes)
{
    struct http_server *s = call->worker->server;
    if (bytes > s->config.bodies_max_bytes)
        return -ERR_BUSY;
    while (!fits(s, bytes))
        if (!intake_evict_oldest(worker_of(call), conn_of(call->req)))
            return -ERR_BUSY;
    call_of(call)->charged += bytes;
    return 0;
}
