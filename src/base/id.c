/* id.c: 128-bit ids. Randomness is drawn from the kernel in blocks per thread, because an id per event must not cost a system call. */
#include "picket/base/id.h"

#include <errno.h>
#include <sys/random.h>

void random_bytes(void *dst, size_t n)
{
    uint8_t *p = dst;
    while (n) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            abort();
        p += got;
        n -= (size_t)got;
    }
}

/* For ids only, not for secrets: 256 bytes at a time. */
static void pooled_random(uint8_t *dst, size_t n)
{
    static _Thread_local uint8_t pool[256];
    static _Thread_local size_t left;
    if (left < n) {
        random_bytes(pool, sizeof pool);
        left = sizeof pool;
    }
    memcpy(dst, pool + sizeof pool - left, n);
    left -= n;
}

static void stamp(struct id128 *id, uint8_t version)
{
    id->b[6] = (uint8_t)((id->b[6] & 0x0F) | version << 4);
    id->b[8] = (uint8_t)((id->b[8] & 0x3F) | 0x80);
}

struct id128 id_random(void)
{
    struct id128 id;
    pooled_random(id.b, sizeof id.b);
    stamp(&id, 4);
    return id;
}

struct id128 id_v7(int64_t wall_us)
{
    struct id128 id;
    uint64_t us = wall_us < 0 ? 0 : (uint64_t)wall_us, ms = us / 1000;
    for (int i = 0; i < 6; i++)
        id.b[i] = (uint8_t)(ms >> (40 - 8 * i));
    unsigned sub = (unsigned)(us % 1000 * 4096 / 1000); /* RFC 9562 §6.2 method 3: a fraction of the millisecond in rand_a */
    id.b[6] = (uint8_t)(sub >> 8);
    id.b[7] = (uint8_t)sub;
    pooled_random(id.b + 8, 8);
    stamp(&id, 7);
    return id;
}

int64_t id_v7_ms(const struct id128 *id)
{
    uint64_t ms = 0;
    for (int i = 0; i < 6; i++)
        ms = ms << 8 | id->b[i];
    return (int64_t)ms;
}

bool id_is_nil(const struct id128 *id)
{
    static const struct id128 nil;
    return id_eq(id, &nil);
}

bool id_eq(const struct id128 *a, const struct id128 *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

int id_cmp(const struct id128 *a, const struct id128 *b)
{
    return memcmp(a->b, b->b, sizeof a->b);
}

bool id_parse(struct str s, struct id128 *ret)
{
    if (str_starts_nocase(s, STR("urn:uuid:")))
        s = str_drop(s, 9);
    else if (s.n == ID_DASHED + 2 && s.p[0] == '{' && s.p[s.n - 1] == '}')
        s = str_of(s.p + 1, s.n - 2);
    if (s.n == ID_HEX)
        return str_hex_decode(s, ret->b, sizeof ret->b);
    if (s.n != ID_DASHED || s.p[8] != '-' || s.p[13] != '-' || s.p[18] != '-' || s.p[23] != '-')
        return false;
    char hex[ID_HEX];
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        if (i != 8 && i != 13 && i != 18 && i != 23)
            hex[n++] = s.p[i];
    return str_hex_decode(str_of(hex, n), ret->b, sizeof ret->b);
}

void id_hex(const struct id128 *id, char dst[ID_HEX + 1])
{
    str_hex_encode(id->b, sizeof id->b, dst);
    dst[ID_HEX] = '\0';
}

void id_dashed(const struct id128 *id, char dst[ID_DASHED + 1])
{
    static const uint8_t parts[][2] = {{0, 4}, {4, 2}, {6, 2}, {8, 2}, {10, 6}};
    char *p = dst;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (i)
            *p++ = '-';
        str_hex_encode(id->b + parts[i][0], parts[i][1], p);
        p += (size_t)2 * parts[i][1];
    }
    *p = '\0';
}

struct id128 id_conforming(const struct id128 *id)
{
    struct id128 r = *id;
    bool all_ones = true;
    for (size_t i = 0; i < sizeof r.b; i++)
        all_ones = all_ones && r.b[i] == 0xFF;
    unsigned version = r.b[6] >> 4, variant = r.b[8] >> 6;
    if (id_is_nil(&r) || all_ones || (version >= 1 && version <= 8 && variant == 2))
        return r;
    stamp(&r, 8);
    return r;
}
