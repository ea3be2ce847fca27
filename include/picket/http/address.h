/* address.h: addresses of clients as they come over the wire, networks, and who the client is behind trusted proxies; as 16 bytes (base/ip.h). Pure. */
#pragma once

#include "picket/base/arena.h"

/* "203.0.113.7", "203.0.113.7:443", "2001:db8::1", "[2001:db8::1]:443"; blanks around are fine. */
MUST_CHECK bool http_address_parse(struct str text, uint8_t ret[16]);

struct http_network {
    uint8_t addr[16];
    unsigned bits; /* of the 128 */
};
struct http_networks {
    const struct http_network *list;
    size_t n;
};
/* "10.0.0.0/8, 2001:db8::/32, 192.0.2.1": separated by commas or blanks, an address alone is a network of one; the list is in the arena. False: a
 * part is none, or has bits set behind its prefix, which is rather a mistake than a wish; *ret_bad is that part. */
MUST_CHECK bool http_networks_parse(struct str text, struct arena *arena, struct http_networks *ret, struct str *ret_bad);
bool http_networks_have(const struct http_networks *networks, const uint8_t addr[16]);

enum http_hops { HTTP_X_FORWARDED_FOR, HTTP_FORWARDED }; /* the second: RFC 7239 */
/* Who sent the request: `addr` comes as the peer's address and leaves as the client's. Each trusted hop says who came to it, from right to left; the
 * first that is not trusted is the client, and what stands left of it is what that one claims. Where a hop names nobody ("unknown", "_hidden") it
 * counts as the client itself. `header`: all lines of that name, joined with commas. */
void http_address_behind(const struct http_networks *trusted, enum http_hops form, struct str header, uint8_t addr[16]);

/* The same for a request that may have both headers (p == NULL: it has not). A proxy writes one of them and lets the other through as its client sent it;
 * which one cannot be told from here. So where both are there they have to lead to the same address: else neither counts, and `addr` stays the peer's. */
void http_address_forwarded(const struct http_networks *trusted, struct str x_forwarded_for, struct str forwarded, uint8_t addr[16]);
