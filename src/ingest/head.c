/* head.c: see the header. */
#include "head.h"

#include "picket/base/error.h"
#include "picket/protocol/dsn.h"

/* A header that is there twice may name two keys. */
int head_credentials(const struct http_call *call, struct str path_key, struct credentials *ret)
{
    struct credentials_source source = {http_header(call, "x-sentry-auth"), http_header(call, "authorization"), call->query, path_key};
    static const char *const names[] = {"x-sentry-auth", "authorization"};
    int r = credentials_read(&source, ret);
    for (size_t i = 0; i < ARRAY_LEN(names) && r == 0; i++) {
        size_t at = SIZE_MAX;
        for (struct str value = http_header_next(call, names[i], &at); value.p && r == 0; value = http_header_next(call, names[i], &at)) {
            struct credentials more;
            struct credentials_source again = {i == 0 ? value : STR(""), i == 1 ? value : STR(""), STR(""), path_key};
            r = credentials_read(&again, &more);
            if (r == 0 && more.present && ret->present && !id_eq(&more.key, &ret->key))
                r = -ERR_MANY_CREDENTIALS;
        }
    }
    return r;
}

int head_encoding(const struct http_call *call, enum content_encoding *ret)
{
    size_t at = SIZE_MAX;
    (void)http_header_next(call, "content-encoding", &at);
    if (at != SIZE_MAX && http_header_next(call, "content-encoding", &at).p)
        return -ERR_BAD_ENCODING; /* stacked */
    return encoding_parse(http_header(call, "content-encoding"), ret);
}

struct str head_authority(struct str url)
{
    for (struct str rest = url; rest.n; rest = str_drop(rest, 1)) {
        if (str_starts(rest, STR("://"))) {
            struct str scheme = str_take(url, url.n - rest.n);
            rest = str_drop(rest, 3);
            return dsn_host(scheme, str_take(rest, str_find(rest, '/')));
        }
    }
    return url;
}
