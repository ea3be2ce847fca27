/* dsn.c: DSNs and the public URL that they are made from. Both are URLs of a narrow kind, so they are cut by hand: scheme, optional user
 * information, authority, path. Bytes that have no place in such a URL are refused, because a DSN ends up in requests and pages. */
#include "picket/protocol/dsn.h"

#include <errno.h>

#include "picket/base/error.h"

struct url {
    struct str scheme, user, authority, path; /* path: "" or with its leading slash */
    bool has_user;
};

static bool plain_url_bytes(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c <= ' ' || c == 0x7F || memchr("\"<>\\^`{|}", c, 9))
            return false;
    }
    return true;
}

/* host, host:port, [v6] or [v6]:port. */
static bool valid_authority(struct str s)
{
    if (s.n == 0 || s.p[0] == ':')
        return false;
    size_t bracket = s.p[0] == '[' ? str_find(s, ']') : 0;
    if (bracket == s.n)
        return false;
    struct str rest = str_drop(s, bracket);
    size_t colon = str_find(rest, ':');
    if (bracket && rest.n > 1 && colon != 1)
        return false;
    uint64_t port;
    return colon == rest.n || (str_to_u64(str_drop(rest, colon + 1), &port) && port > 0 && port <= 65535);
}

struct str dsn_host(struct str scheme, struct str authority)
{
    struct str port = str_eq_nocase(scheme, STR("https")) ? STR(":443") : STR(":80");
    return str_ends(authority, port) ? str_take(authority, authority.n - port.n) : authority;
}

static bool url_cut(struct str text, struct url *ret)
{
    struct url u = {0};
    size_t scheme = str_starts_nocase(text, STR("https://")) ? 5 : str_starts_nocase(text, STR("http://")) ? 4 : 0;
    if (scheme == 0 || !plain_url_bytes(text))
        return false;
    u.scheme = str_take(text, scheme);
    struct str rest = str_drop(text, scheme + 3);
    size_t slash = str_find(rest, '/');
    u.path = str_drop(rest, slash);
    u.authority = str_take(rest, slash);
    for (size_t i = u.authority.n; i > 0 && !u.has_user; i--) { /* the last '@': a legacy secret may hold one */
        if (u.authority.p[i - 1] == '@') {
            u.has_user = true;
            u.user = str_take(u.authority, i - 1);
            u.authority = str_drop(u.authority, i);
        }
    }
    if (!valid_authority(u.authority))
        return false;
    *ret = u;
    return true;
}

/* Raven's options (?timeout=5) are no part of where the events go. */
static struct str without_query(struct str text)
{
    text = str_take(text, str_find(text, '#'));
    return str_take(text, str_find(text, '?'));
}

int dsn_parse(struct str text, struct dsn *ret)
{
    struct url u;
    if (!url_cut(without_query(text), &u) || !u.has_user)
        return -ERR_BAD_DSN;
    size_t last = u.path.n;
    while (last > 0 && u.path.p[last - 1] != '/')
        last--;
    struct dsn dsn = {.scheme = u.scheme, .public_key = str_take(u.user, str_find(u.user, ':')), .authority = u.authority};
    if (last == 0 || !str_to_u64(str_drop(u.path, last), &dsn.project_id))
        return -ERR_BAD_DSN;
    dsn.path_prefix = str_take(u.path, last - 1);
    if (!str_hex_decode(dsn.public_key, dsn.key.b, sizeof dsn.key.b))
        return -ERR_BAD_DSN;
    *ret = dsn;
    return 0;
}

static struct str without_final_slashes(struct str path)
{
    while (path.n && path.p[path.n - 1] == '/')
        path.n--;
    return path;
}

int dsn_format(struct buf *out, struct str public_url, const struct id128 *key, uint64_t project_id)
{
    struct url u;
    if (without_query(public_url).n != public_url.n || !url_cut(public_url, &u) || u.has_user)
        return -EINVAL;
    char hex[ID_HEX + 1];
    id_hex(key, hex);
    buf_append_str(out, u.scheme);
    buf_append_str(out, STR("://"));
    buf_append(out, hex, ID_HEX);
    buf_append_char(out, '@');
    buf_append_str(out, u.authority);
    buf_append_str(out, without_final_slashes(u.path));
    buf_printf(out, "/%llu", (unsigned long long)project_id);
    return 0;
}

void dsn_endpoint(struct buf *out, const struct dsn *dsn, struct str endpoint)
{
    buf_append_str(out, dsn->scheme);
    buf_append_str(out, STR("://"));
    buf_append_str(out, dsn->authority);
    buf_append_str(out, dsn->path_prefix);
    buf_printf(out, "/api/%llu/", (unsigned long long)dsn->project_id);
    buf_append_str(out, endpoint);
    buf_append_char(out, '/');
}
