/* route.c: the table is an array of patterns cut into segments once; a look-up cuts the path and compares segment by segment. There are a
 * few dozen routes, so walking them costs less than any cleverness would save.
 *
 * A pattern's `literal` has one bit per segment, the first segment's highest: comparing the numbers compares how early a pattern is
 * literal, so /api/projects/{project} goes before /api/{project}/envelope for "/api/projects/envelope". */
#include "picket/http/route.h"

struct segments {
    struct str at[HTTP_MAX_SEGMENTS];
    unsigned n;
    bool final_slash;
};

struct pattern {
    const struct http_route *route;
    void *ctx;
    struct segments segments;
    unsigned literal;
};

struct route_table {
    char *prefix_text; /* owned; the segments point into it */
    struct segments prefix;
    struct pattern *patterns;
    unsigned n, cap;
};

static const struct {
    struct str name;
    enum http_method method;
} methods[] = {
    {{"GET", 3}, HTTP_GET}, {{"HEAD", 4}, HTTP_GET},    {{"POST", 4}, HTTP_POST},
    {{"PUT", 3}, HTTP_PUT}, {{"PATCH", 5}, HTTP_PATCH}, {{"DELETE", 6}, HTTP_DELETE},
};

unsigned http_method_parse(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (str_eq(name, methods[i].name))
            return methods[i].method;
    return 0;
}

size_t http_methods_format(unsigned wanted, char *dst)
{
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        if (!(wanted & methods[i].method))
            continue;
        if (n) {
            dst[n++] = ',';
            dst[n++] = ' ';
        }
        memcpy(dst + n, methods[i].name.p, methods[i].name.n);
        n += methods[i].name.n;
    }
    dst[n] = 0;
    return n;
}

void http_target_split(struct str target, struct str *ret_path, struct str *ret_query)
{
    if (str_starts_nocase(target, STR("http://")) || str_starts_nocase(target, STR("https://"))) {
        target = str_drop(target, str_find(target, ':') + 3);
        target = str_drop(target, str_find(target, '/'));
    }
    target = str_take(target, str_find(target, '#'));
    size_t at = str_find(target, '?');
    *ret_path = str_take(target, at);
    *ret_query = str_drop(target, at + 1);
}

/* False when the path does not start with a slash or is deeper than any route. */
static bool split(struct str path, struct segments *ret)
{
    *ret = (struct segments){.final_slash = str_ends(path, STR("/"))};
    if (!str_starts(path, STR("/")))
        return false;
    while (path.p) {
        struct str part = str_cut(&path, '/');
        if (part.n == 0)
            continue;
        if (ret->n == HTTP_MAX_SEGMENTS)
            return false;
        ret->at[ret->n++] = part;
    }
    return true;
}

static bool is_param(struct str segment)
{
    return segment.p[0] == '{';
}

struct route_table *route_table_new(struct str prefix)
{
    struct route_table *t = calloc(1, sizeof *t);
    char *copy = t ? malloc(prefix.n + 1) : NULL;
    if (!copy)
        abort();
    if (prefix.n)
        memcpy(copy, prefix.p, prefix.n);
    t->prefix_text = copy;
    if (!split(str_of(copy, prefix.n), &t->prefix))
        t->prefix.n = 0;
    return t;
}

void route_table_free(struct route_table *t)
{
    if (!t)
        return;
    free(t->prefix_text);
    free(t->patterns);
    free(t);
}

static bool same_shape(const struct pattern *a, const struct pattern *b)
{
    if (a->route->method != b->route->method || a->segments.n != b->segments.n || a->literal != b->literal)
        return false;
    for (unsigned i = 0; i < a->segments.n; i++)
        if (!is_param(a->segments.at[i]) && !str_eq(a->segments.at[i], b->segments.at[i]))
            return false;
    return true;
}

static void pattern_add(struct route_table *t, const struct http_route *route, void *ctx)
{
    struct pattern p = {.route = route, .ctx = ctx};
    bool ok = split(str_from(route->path), &p.segments);
    assert(ok);
    unsigned params = 0;
    for (unsigned i = 0; i < p.segments.n; i++) {
        if (is_param(p.segments.at[i]))
            params++;
        else
            p.literal |= 1u << (HTTP_MAX_SEGMENTS - 1 - i);
    }
    assert(params <= HTTP_MAX_PARAMS);
    for (unsigned i = 0; i < t->n; i++)
        assert(!same_shape(&t->patterns[i], &p));
    t->patterns[t->n++] = p;
}

void route_table_add(struct route_table *t, const struct http_route *routes, unsigned n, void *ctx)
{
    if (t->n + n > t->cap) {
        t->cap = t->n + n;
        t->patterns = realloc(t->patterns, t->cap * sizeof *t->patterns);
        if (!t->patterns)
            abort();
    }
    for (unsigned i = 0; i < n; i++)
        pattern_add(t, &routes[i], ctx);
}

static bool fits(const struct pattern *p, const struct segments *path)
{
    if (p->segments.n != path->n || (path->final_slash && path->n > 0 && p->route->access != HTTP_INGEST))
        return false;
    for (unsigned i = 0; i < path->n; i++)
        if (!is_param(p->segments.at[i]) && !str_eq(p->segments.at[i], path->at[i]))
            return false;
    return true;
}

static void drop_prefix(const struct route_table *t, struct segments *path)
{
    unsigned n = t->prefix.n;
    if (n == 0 || path->n <= n)
        return;
    for (unsigned i = 0; i < n; i++)
        if (!str_eq(path->at[i], t->prefix.at[i]))
            return;
    path->n -= n;
    memmove(path->at, path->at + n, path->n * sizeof *path->at);
}

static void fill(struct route_match *m, const struct pattern *p, const struct segments *path)
{
    m->route = p->route;
    m->ctx = p->ctx;
    for (unsigned i = 0; i < path->n; i++)
        if (is_param(p->segments.at[i]))
            m->params[m->n_params++] = path->at[i];
}

enum route_result route_find(const struct route_table *t, unsigned method, struct str path, struct route_match *ret)
{
    struct segments cut;
    if (!split(path, &cut))
        return ROUTE_NO_PATH;
    drop_prefix(t, &cut);
    const struct pattern *best = NULL, *other = NULL;
    unsigned allowed = 0;
    for (unsigned i = 0; i < t->n; i++) {
        const struct pattern *p = &t->patterns[i];
        if (!fits(p, &cut))
            continue;
        allowed |= p->route->method;
        const struct pattern **slot = p->route->method == method ? &best : &other;
        if (!*slot || p->literal > (*slot)->literal)
            *slot = p;
    }
    if (!best && !other)
        return ROUTE_NO_PATH;
    *ret = (struct route_match){.allowed = allowed};
    fill(ret, best ? best : other, &cut);
    return best ? ROUTE_FOUND : ROUTE_NO_METHOD;
}
