/* status.c: GET /api/status: what only the running server knows, for `picket status`. Not a part of /health/ready: that is public, its body is the
 * contract's (§1.9), balancers poll it, and it waits for the database, while these figures matter most when the database is away. They are
 * told to nobody but this machine: the peer's address is loopback or the address that it has reached, and no proxy has passed the request on.
 * Whoever runs a proxy on the same machine that adds none of the headers below shows them to its clients: figures, no data. */
#include "internal.h"

#include <netinet/in.h>

static bool is_loopback(const struct sockaddr_storage *a)
{
    const struct sockaddr_in *four = (const void *)a;
    const struct sockaddr_in6 *six = (const void *)a;
    if (a->ss_family == AF_INET)
        return ntohl(four->sin_addr.s_addr) >> 24 == 127;
    return a->ss_family == AF_INET6 &&
           (IN6_IS_ADDR_LOOPBACK(&six->sin6_addr) || (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr) && six->sin6_addr.s6_addr[12] == 127));
}

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    const struct sockaddr_in *a4 = (const void *)a, *b4 = (const void *)b;
    const struct sockaddr_in6 *a6 = (const void *)a, *b6 = (const void *)b;
    if (a->ss_family != b->ss_family)
        return false;
    if (a->ss_family == AF_INET)
        return a4->sin_addr.s_addr == b4->sin_addr.s_addr;
    return a->ss_family == AF_INET6 && IN6_ARE_ADDR_EQUAL(&a6->sin6_addr, &b6->sin6_addr);
}

static bool was_passed_on(const struct http_call *call)
{
    static const char *const headers[] = {"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "forwarded", "via"};
    for (size_t i = 0; i < ARRAY_LEN(headers); i++)
        if (http_header(call, headers[i]).n)
            return true;
    return false;
}

bool api_is_from_here(const struct http_call *call)
{
    struct sockaddr_storage peer = {0}, own = {0};
    h2o_conn_t *conn = call->req->conn;
    if (conn->callbacks->get_peername(conn, (struct sockaddr *)&peer) == 0)
        return false;
    if (was_passed_on(call))
        return false;
    return is_loopback(&peer) || (conn->callbacks->get_sockname(conn, (struct sockaddr *)&own) != 0 && same_address(&peer, &own));
}

void status_show(struct http_call *call)
{
    const struct api_insight *insight = &api_of(call)->config.insight;
    if (!api_is_from_here(call)) {
        http_answer_error(call, -ERR_FORBIDDEN, STR("only for this machine: picket status"));
        return;
    }
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    json_writer_init(&w, &out);
    json_begin_object(&w);
    if (insight->put_status)
        insight->put_status(insight->arg, &w);
    json_end_object(&w);
    http_answer_json(call, 200, &out);
}
