/* fuzz_request.c: what of a request is read by hand: head, target, addresses, cursors, slugs. Nothing that a head is accepted with may be read
 * in two ways: a plain count of its framing headers has to agree. */
#include "fuzz.h"

#include "picket/api/page.h"
#include "picket/api/slug.h"
#include "picket/base/error.h"
#include "picket/base/ip.h"
#include "picket/http/address.h"
#include "picket/http/guard.h"
#include "picket/http/route.h"

static void handler(struct http_call *call)
{
    (void)call;
}

static const struct http_route routes[] = {
    {HTTP_GET, "/api/projects/{project}/issues/{issue}", HTTP_USER, HTTP_NO_BODY, handler},
    {HTTP_GET, "/api/projects/{project}", HTTP_USER, HTTP_NO_BODY, handler},
    {HTTP_POST, "/api/{project}/envelope/", HTTP_INGEST, HTTP_NO_BODY, handler},
};

/* Lines of the head that start with `name` and a colon. */
static unsigned headers_named(struct str head, struct str name)
{
    unsigned n = 0;
    while (head.p) {
        struct str line = str_cut(&head, '\n');
        if (line.n == 0 || str_eq(line, STR("\r")))
            break;
        n += str_starts_nocase(line, name) && line.n > name.n && line.p[name.n] == ':';
    }
    return n;
}

static void check_head(struct str input)
{
    struct str why = STR("");
    int r = guard_head(input, &why);
    assert(r == 0 || r == -ERR_HEAD_TOO_LARGE || (r == -ERR_BAD_REQUEST && why.n > 0));
    if (r == 0 && headers_named(input, STR("content-length")) == 0)
        assert(guard_body_bytes(input) <= input.n);
    (void)guard_body_bytes(input); /* of what is refused, any number */
    struct str first = input;
    (void)str_cut(&first, '\n'); /* the request line, or the empty one before it */
    if (r == 0 && !str_starts(input, STR("\r\n")) && !str_starts(input, STR("\n")))
        assert(headers_named(first, STR("content-length")) + headers_named(first, STR("transfer-encoding")) <= 1);
}

static void check_target(struct str input)
{
    struct str path, query;
    struct route_match m;
    http_target_split(input, &path, &query);
    struct route_table *t = route_table_new(STR("/errors"));
    route_table_add(t, routes, ARRAY_LEN(routes), NULL);
    if (route_find(t, HTTP_GET, path, &m) == ROUTE_FOUND)
        for (unsigned i = 0; i < m.n_params; i++)
            assert(m.params[i].n > 0 && str_find(m.params[i], '/') == m.params[i].n && str_find(m.params[i], '?') == m.params[i].n);
    route_table_free(t);
}

static void check_address(struct str input)
{
    uint8_t addr[16], again[16];
    char text[IP_TEXT_MAX];
    if (!http_address_parse(input, addr))
        return;
    size_t n = ip_format(addr, text);
    assert(http_address_parse(str_of(text, n), again) && memcmp(addr, again, sizeof addr) == 0);
}

/* Whatever the hops say, the client is the peer or one that they name; a peer that is not trusted is the client. */
static void check_hops(struct str input)
{
    static const uint8_t peer[16] = {[10] = 0xff, [11] = 0xff, 10, 0, 0, 1}; /* 10.0.0.1 */
    struct str networks = str_cut(&input, '\n'), bad = STR("");
    struct http_networks trusted;
    struct arena arena;
    arena_init(&arena);
    if (http_networks_parse(networks, &arena, &trusted, &bad)) {
        for (size_t i = 0; i < trusted.n; i++)
            assert(trusted.list[i].bits <= 128 && http_networks_have(&trusted, trusted.list[i].addr));
        for (enum http_hops form = HTTP_X_FORWARDED_FOR; form <= HTTP_FORWARDED; form++) {
            uint8_t addr[16];
            memcpy(addr, peer, sizeof addr);
            http_address_behind(&trusted, form, input, addr);
            assert(http_networks_have(&trusted, peer) || memcmp(addr, peer, sizeof addr) == 0);
        }
    } else {
        assert(bad.n > 0 && bad.p >= networks.p && bad.p + bad.n <= networks.p + networks.n);
    }
    arena_done(&arena);
}

static void check_cursor(struct str input)
{
    struct id128 id, again;
    struct str why = STR("");
    AUTO_BUF struct buf text = {0};
    if (page_cursor_read(input, &id, &why) < 0)
        return;
    page_cursor_write(&text, STR("asc"), &id);
    assert(page_cursor_read(buf_str(&text), &again, &why) == 0 && id_eq(&id, &again));
}

static void check_slug(struct str input)
{
    AUTO_BUF struct buf slug = {0}, again = {0};
    if (slug_make(&slug, input) < 0)
        return;
    assert(slug.n > 0 && slug.n <= SLUG_MAX && slug.p[0] != '-' && slug.p[slug.n - 1] != '-');
    assert(slug_make(&again, buf_str(&slug)) == 0 && str_eq(buf_str(&slug), buf_str(&again))); /* a slug is its own slug */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = str_of((const char *)data, size);
    check_head(input);
    check_target(input);
    check_address(input);
    check_hops(input);
    check_cursor(input);
    check_slug(input);
    return 0;
}
