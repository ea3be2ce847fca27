/* origin.c: see the header. Names are compared as they are written, without regard to case: browsers send them in ASCII ("xn--…"), so that is what a pattern
 * is made of. */
#include "picket/protocol/origin.h"

#include <errno.h>

/* Brackets of an IPv6 address stay. */
static bool cut_authority(struct str s, struct origin *ret)
{
    size_t bracket = s.n && s.p[0] == '[' ? str_find(s, ']') + 1 : 0;
    if (bracket > s.n)
        return false;
    struct str tail = str_drop(s, bracket);
    size_t colon = str_find(tail, ':');
    uint64_t port;
    if (bracket && colon > 0 && tail.n > 0)
        return false;
    ret->host = str_take(s, bracket + colon);
    ret->port = str_drop(tail, colon + 1);
    return ret->host.n > 0 && (colon == tail.n || (str_to_u64(ret->port, &port) && port > 0 && port <= UINT16_MAX));
}

/* The scheme of http and https alone; *ret is what follows. */
static struct str cut_scheme(struct str url, struct str *ret)
{
    size_t n = str_starts_nocase(url, STR("https://")) ? 5 : str_starts_nocase(url, STR("http://")) ? 4 : 0;
    *ret = n ? str_drop(url, n + 3) : url;
    return str_take(url, n);
}

static bool read_page(struct str url, struct origin *ret)
{
    struct str authority;
    size_t n = 0;
    ret->scheme = cut_scheme(str_trim(url), &authority);
    while (n < authority.n && !memchr("/?#\\", authority.p[n], 4))
        n++;
    authority = str_take(authority, n);
    for (size_t at = str_find(authority, '@'); at < authority.n; at = str_find(authority, '@'))
        authority = str_drop(authority, at + 1);
    return ret->scheme.n > 0 && cut_authority(authority, ret);
}

bool origin_of(struct str origin, struct str referer, struct origin *ret)
{
    return read_page(origin, ret) || read_page(referer, ret);
}

/* ---- patterns */

static bool cut_pattern(struct str pattern, struct origin *ret)
{
    struct str authority;
    ret->scheme = cut_scheme(pattern, &authority);
    return cut_authority(authority, ret);
}

/* In lower case. */
static bool is_host(struct str host)
{
    bool is_address = str_starts(host, STR("["));
    const char *more = is_address ? ":.[]" : ".-_";
    if (str_eq(host, STR("*")))
        return true;
    if (str_starts(host, STR("*.")))
        host = str_drop(host, 2);
    for (size_t i = 0; i < host.n; i++) {
        char c = host.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || memchr(more, c, is_address ? 4 : 3)))
            return false;
    }
    return host.n > 0;
}

int origin_pattern(struct str text, struct buf *out)
{
    size_t before = out->n;
    struct origin parts;
    text = str_trim(text);
    if (str_ends(text, STR("/")))
        text = str_take(text, text.n - 1);
    if (text.n == 0 || text.n > ORIGIN_PATTERN_MAX_BYTES)
        return -EINVAL;
    for (size_t i = 0; i < text.n; i++)
        buf_append_char(out, (char)(text.p[i] >= 'A' && text.p[i] <= 'Z' ? text.p[i] + 32 : text.p[i]));
    if (cut_pattern(str_drop(buf_str(out), before), &parts) && is_host(parts.host) && !str_starts(parts.port, STR("0")))
        return 0;
    out->n = before;
    return -EINVAL;
}

static bool is_below(struct str host, struct str domain)
{
    if (host.n <= domain.n)
        return str_eq_nocase(host, domain);
    struct str tail = str_drop(host, host.n - domain.n - 1);
    return tail.p[0] == '.' && str_eq_nocase(str_drop(tail, 1), domain);
}

static bool host_matches(struct str pattern, struct str host)
{
    if (str_eq(pattern, STR("*")))
        return true;
    return str_starts(pattern, STR("*.")) ? is_below(host, str_drop(pattern, 2)) : str_eq_nocase(pattern, host);
}

static struct str port_of(const struct origin *page)
{
    if (page->port.n)
        return page->port;
    return page->scheme.n == 5 ? STR("443") : STR("80");
}

bool origin_matches(struct str pattern, const struct origin *page)
{
    struct origin p;
    return cut_pattern(pattern, &p) && (p.scheme.n == 0 || str_eq_nocase(p.scheme, page->scheme)) &&
           (p.port.n == 0 || str_eq(p.port, port_of(page))) && host_matches(p.host, page->host);
}
