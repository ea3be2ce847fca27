/* address.c: see address.h.
 *
 * A list of hops is read from left to right, because only so a quoted string is known to be one, and walked from right to left. Of a list that is
 * longer than HOPS_MAX the right end counts: nobody has so many proxies in a row, and what stands on the left is the client's own invention. */
#include "picket/http/address.h"

#include "picket/base/ip.h"

/* The address without brackets and port. */
static struct str bare(struct str text)
{
    if (str_starts(text, STR("[")))
        return str_take(str_drop(text, 1), str_find(str_drop(text, 1), ']'));
    size_t colon = str_find(text, ':');
    bool one_colon = colon < text.n && str_find(str_drop(text, colon + 1), ':') == text.n - colon - 1;
    return one_colon ? str_take(text, colon) : text;
}

bool http_address_parse(struct str text, uint8_t ret[16])
{
    return ip_parse(bare(str_trim(text)), ret);
}

/* ---- networks */

/* Are the first `bits` of both the same? */
static bool same_prefix(const uint8_t a[16], const uint8_t b[16], unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    return memcmp(a, b, whole) == 0 && (rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0);
}

static bool is_zero_behind(const uint8_t addr[16], unsigned bits)
{
    for (unsigned i = bits; i < 128; i++)
        if (addr[i / 8] >> (7 - i % 8) & 1)
            return false;
    return true;
}

static bool network_parse(struct str text, struct http_network *ret)
{
    struct str rest = text, addr = str_cut(&rest, '/');
    uint64_t bits;
    if (str_find(addr, '[') < addr.n || !http_address_parse(addr, ret->addr))
        return false;
    bool v4 = ip_is_v4(ret->addr) && str_find(addr, '.') < addr.n;
    if (v4 && str_find(addr, ':') < addr.n) /* with a port, or written as IPv6 */
        return false;
    ret->bits = 128;
    if (!rest.p)
        return true;
    if (!str_to_u64(rest, &bits) || bits > (v4 ? 32 : 128))
        return false;
    ret->bits = (unsigned)bits + (v4 ? 96 : 0);
    return is_zero_behind(ret->addr, ret->bits);
}

static bool is_separator(char c)
{
    return c == ',' || c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

bool http_networks_parse(struct str text, struct arena *arena, struct http_networks *ret, struct str *ret_bad)
{
    size_t most = 1, n = 0;
    for (size_t i = 0; i < text.n; i++)
        most += is_separator(text.p[i]);
    struct http_network *list = arena_array(arena, struct http_network, most);
    for (size_t from = 0, to; from < text.n; from = to + 1) {
        for (to = from; to < text.n && !is_separator(text.p[to]);)
            to++;
        if (to == from)
            continue;
        if (!network_parse(str_of(text.p + from, to - from), &list[n])) {
            *ret_bad = str_of(text.p + from, to - from);
            return false;
        }
        n++;
    }
    *ret = (struct http_networks){list, n};
    return true;
}

bool http_networks_have(const struct http_networks *networks, const uint8_t addr[16])
{
    for (size_t i = 0; i < networks->n; i++)
        if (same_prefix(networks->list[i].addr, addr, networks->list[i].bits))
            return true;
    return false;
}

/* ---- hops */

enum { HOPS_MAX = 32 };
struct hop {
    bool known;
    uint8_t addr[16];
};

/* Up to the next `sep` outside of quotes (RFC 9110 §5.6.4); *rest goes on behind it, p == NULL at the end. */
static struct str cut_quoted(struct str *rest, char sep)
{
    bool quoted = false;
    for (size_t i = 0; i < rest->n; i++) {
        char c = rest->p[i];
        if (c == '"')
            quoted = !quoted;
        else if (quoted && c == '\\')
            i++;
        else if (!quoted && c == sep) {
            struct str part = str_take(*rest, i);
            *rest = str_drop(*rest, i + 1);
            return part;
        }
    }
    struct str part = *rest;
    *rest = (struct str){NULL, 0};
    return part;
}

/* The node of an element's "for" parameter, "" when it has none. No address has an escape in its quoted form. */
static struct str forwarded_node(struct str element)
{
    while (element.p) {
        struct str value = cut_quoted(&element, ';'), name = str_trim(str_cut(&value, '='));
        if (!str_eq_nocase(name, STR("for")) || !value.p)
            continue;
        value = str_trim(value);
        bool quoted = value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"';
        return quoted ? str_of(value.p + 1, value.n - 2) : value;
    }
    return STR("");
}

void http_address_behind(const struct http_networks *trusted, enum http_hops form, struct str header, uint8_t addr[16])
{
    struct hop hops[HOPS_MAX];
    size_t n = 0;
    if (!http_networks_have(trusted, addr))
        return;
    while (header.p) {
        struct str part = form == HTTP_FORWARDED ? forwarded_node(cut_quoted(&header, ',')) : str_cut(&header, ',');
        struct hop *hop = &hops[n++ % HOPS_MAX];
        hop->known = http_address_parse(part, hop->addr);
    }
    for (size_t left = n < HOPS_MAX ? n : HOPS_MAX; left > 0; left--) {
        const struct hop *hop = &hops[--n % HOPS_MAX];
        if (!hop->known)
            return;
        memcpy(addr, hop->addr, sizeof hop->addr);
        if (!http_networks_have(trusted, addr))
            return;
    }
}

void http_address_forwarded(const struct http_networks *trusted, struct str x_forwarded_for, struct str forwarded, uint8_t addr[16])
{
    uint8_t by_list[16], by_standard[16];
    memcpy(by_list, addr, sizeof by_list);
    memcpy(by_standard, addr, sizeof by_standard);
    http_address_behind(trusted, HTTP_X_FORWARDED_FOR, x_forwarded_for, by_list);
    http_address_behind(trusted, HTTP_FORWARDED, forwarded, by_standard);
    if (!forwarded.p || (x_forwarded_for.p && memcmp(by_list, by_standard, sizeof by_list) == 0))
        memcpy(addr, by_list, sizeof by_list);
    else if (!x_forwarded_for.p)
        memcpy(addr, by_standard, sizeof by_standard);
}
