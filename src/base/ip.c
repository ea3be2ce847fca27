/* ip.c: see the header. inet_pton wants terminated text, so the slice is copied into a buffer of the longest address first. */
#include "picket/base/ip.h"

#include <arpa/inet.h>

static const uint8_t v4_mapped[12] = {[10] = 0xff, [11] = 0xff};

_Static_assert(IP_TEXT_MAX == INET6_ADDRSTRLEN, "inet_ntop writes as much");

bool ip_is_v4(const uint8_t addr[16])
{
    return memcmp(addr, v4_mapped, sizeof v4_mapped) == 0;
}

bool ip_is_unknown(const uint8_t addr[16])
{
    static const uint8_t unknown[16];
    return memcmp(addr, unknown, sizeof unknown) == 0;
}

bool ip_parse(struct str text, uint8_t ret[16])
{
    char copy[IP_TEXT_MAX];
    uint8_t addr[16];
    if (text.n == 0 || text.n >= sizeof copy || str_find(text, 0) < text.n)
        return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    if (inet_pton(AF_INET, copy, addr + sizeof v4_mapped) == 1)
        memcpy(addr, v4_mapped, sizeof v4_mapped);
    else if (inet_pton(AF_INET6, copy, addr) != 1)
        return false;
    memcpy(ret, addr, sizeof addr);
    return true;
}

size_t ip_format(const uint8_t addr[16], char *dst)
{
    bool v4 = ip_is_v4(addr);
    const char *text = inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? addr + sizeof v4_mapped : addr, dst, IP_TEXT_MAX);
    assert(text);
    return strlen(text);
}
