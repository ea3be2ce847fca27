/* route.h: the route table: which handler takes a method and a path. Knows nothing of sockets. Filled before the threads start, read by
 * all of them afterwards. */
#pragma once

#include "picket/auth/scope.h"
#include "picket/base/str.h"

enum http_method { HTTP_GET = 1, HTTP_POST = 2, HTTP_PATCH = 4, HTTP_DELETE = 8, HTTP_PUT = 16 };
enum http_access {
    HTTP_PUBLIC, /* no authentication; API error bodies */
    HTTP_INGEST, /* ingest: own credentials, CORS for any origin, ingest error bodies {"detail","causes"} + X-Sentry-Error */
    HTTP_USER, /* session cookie or Bearer token: call->user is filled, else 401; for the user's own account, so not with a token that is cut: 403 */
    HTTP_ANY_USER, /* the same with any token */
/* HTTP_PROJECT_READ … HTTP_ADMIN …: one who has that scope, else 403, and who sees the project of the path, else 404 (permit.c) */
#define X(name, text) HTTP_##name,
    SCOPE_MAP(X)
#undef X
};
enum http_body { HTTP_NO_BODY, HTTP_JSON_BODY }; /* JSON_BODY: content type, size (2 MiB) and syntax are checked, call->body is an object */

enum { HTTP_MAX_PARAMS = 4, HTTP_MAX_SEGMENTS = 16 };

struct http_call;
/* Answers now or later, through http_answer*; afterwards *call may be gone: answering is a handler's last statement. Whatever the handler
 * started is cancelled from a dispose callback of req->pool (http_on_dispose). */
typedef void http_handler_fn(struct http_call *call);

struct http_route {
    enum http_method method;
    const char *path; /* "/api/projects/{project}/issues/{issue}"; a final slash is optional on HTTP_INGEST routes, refused elsewhere;
                             * runs of slashes are one (protocol §1.2) */
    enum http_access access;
    enum http_body body;
    http_handler_fn *handler;
};

/* Method by its name, which is case-sensitive; HEAD is GET here. 0 when it is none of ours. */
unsigned http_method_parse(struct str name);
/* "GET, POST" for the bits in `methods`, HEAD beside GET; at most HTTP_METHODS_MAX bytes with a final NUL. Returns the length. */
enum { HTTP_METHODS_MAX = 48 };
size_t http_methods_format(unsigned methods, char *dst);
/* Splits a request target, in origin or absolute form, into path and query (without '?'; a fragment is cut off). */
void http_target_split(struct str target, struct str *ret_path, struct str *ret_query);

struct route_table;
/* `prefix` is the path prefix of PUBLIC_URL ("" or "/errors"), copied: requests are taken with and without it. */
struct route_table *route_table_new(struct str prefix);
void route_table_free(struct route_table *t); /* NULL is fine */
/* The routes are borrowed; `ctx` is handed back with each of them. Two routes of the same method and shape are a bug and assert. */
void route_table_add(struct route_table *t, const struct http_route *routes, unsigned n, void *ctx);

enum route_result { ROUTE_FOUND, ROUTE_NO_PATH, ROUTE_NO_METHOD };
struct route_match {
    const struct http_route *route; /* FOUND: the one; NO_METHOD: one of the path's, for its access */
    void *ctx;
    struct str params[HTTP_MAX_PARAMS]; /* as in the path, not decoded */
    unsigned n_params;
    unsigned allowed; /* FOUND, NO_METHOD: methods that the path takes */
};
/* Where several routes fit, the one whose earliest differing segment is literal wins. `method` may be 0: never found. */
enum route_result route_find(const struct route_table *t, unsigned method, struct str path, struct route_match *ret);
