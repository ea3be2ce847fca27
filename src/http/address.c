/* address.c: see address.h. inet_pton wants terminated text, so the slice is copied into a buffer of the longest address first. */
#include "picket/http/address.h"

#include <arpa/inet.h>

static const uint8_t v4_mapped[12] = {[10] = 0xff, [11] = 0xff};

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
    char copy[HTTP_ADDRESS_MAX];
    uint8_t addr[16];
    text = bare(str_trim(text));
    if (text.n == 0 || text.n >= sizeof copy || str_find(text, 0) < text.n)
        return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = 0;
    if (inet_pton(AF_INET, copy, addr + 12) == 1)
        memcpy(addr, v4_mapped, sizeof v4_mapped);
    else if (inet_pton(AF_INET6, copy, addr) != 1)
        return false;
    memcpy(ret, addr, 16);
    return true;
}

bool http_address_forwarded(struct str header, uint8_t ret[16])
{
    while (header.p && header.n)
        if (http_address_parse(str_cut(&header, ','), ret))
            return true;
    return false;
}

bool http_address_proxied(struct str header, uint8_t ret[16])
{
    struct str last = {NULL, 0};
    while (header.p)
        last = str_cut(&header, ',');
    return http_address_parse(last, ret);
}

size_t http_address_format(const uint8_t addr[16], char *dst)
{
    bool v4 = memcmp(addr, v4_mapped, sizeof v4_mapped) == 0;
    const char *text = inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? addr + 12 : addr, dst, HTTP_ADDRESS_MAX);
    assert(text);
    return strlen(text);
}
