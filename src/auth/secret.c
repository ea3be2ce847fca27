/* secret.c: what clients carry. A session or token is random enough that one plain SHA-256 hides it: there is nothing to guess. */
#include "picket/auth/secret.h"

#include <openssl/sha.h>

#include "picket/base/id.h"

void session_new(char ret[SESSION_CHARS + 1])
{
    uint8_t bytes[32];
    random_bytes(bytes, sizeof bytes);
    size_t n = str_base64url_encode(bytes, sizeof bytes, ret);
    assert(n == SESSION_CHARS);
    ret[n] = '\0';
}

void token_new(char ret[TOKEN_CHARS + 1])
{
    uint8_t bytes[TOKEN_CHARS / 2];
    random_bytes(bytes, sizeof bytes);
    str_hex_encode(bytes, sizeof bytes, ret);
    ret[TOKEN_CHARS] = '\0';
}

void secret_hash(struct str secret, uint8_t ret[SECRET_HASH_BYTES])
{
    if (!SHA256((const unsigned char *)secret.p, secret.n, ret)) /* OpenSSL 3 fetches it, which may fail for want of memory */
        abort();
}

bool token_from_header(struct str authorization, struct str *ret)
{
    if (!str_starts(authorization, STR("Bearer ")))
        return false;
    struct str token = str_trim(str_drop(authorization, 7));
    if (token.n != TOKEN_CHARS)
        return false;
    for (size_t i = 0; i < token.n; i++)
        if (!((token.p[i] >= '0' && token.p[i] <= '9') || (token.p[i] >= 'a' && token.p[i] <= 'f')))
            return false;
    *ret = token;
    return true;
}

struct str cookie_value(struct str header, struct str name)
{
    while (header.p) {
        struct str value = str_trim(str_cut(&header, ';'));
        struct str key = str_trim(str_cut(&value, '='));
        if (str_eq(key, name) && value.p)
            return str_trim(value);
    }
    return (struct str){"", 0};
}
