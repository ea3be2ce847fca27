/* id.h: 128-bit ids. The server's own are UUIDv7 (RFC 9562 §5.7), so that they sort by time and name a day partition; an event id
 * from an SDK is any 128 bits, whatever its version nibble says. */
#pragma once

#include "picket/base/str.h"

enum { ID_HEX = 32, ID_DASHED = 36 };

struct id128 {
    uint8_t b[16];
};

/* Random bytes from the kernel; never fails (aborts if the kernel has no randomness). Any thread. */
void random_bytes(void *dst, size_t n);

struct id128 id_random(void);        /* UUIDv4 */
struct id128 id_v7(int64_t wall_us); /* 48 bits of milliseconds, 12 bits of the microseconds within, 62 random */
int64_t id_v7_ms(const struct id128 *id);
bool id_is_nil(const struct id128 *id);
bool id_eq(const struct id128 *a, const struct id128 *b);
int id_cmp(const struct id128 *a, const struct id128 *b); /* as PostgreSQL orders uuid */

/* 32 hex digits of any case, plain or hyphenated 8-4-4-4-12, also with `urn:uuid:` before or braces around (contract §1.1). */
MUST_CHECK bool id_parse(struct str s, struct id128 *ret);
void id_hex(const struct id128 *id, char dst[ID_HEX + 1]);       /* 32 lower-case digits and a NUL */
void id_dashed(const struct id128 *id, char dst[ID_DASHED + 1]); /* hyphenated and a NUL */

/* The id as dashboards may see it (decisions.md, contract §7.2): version nibble 1–8 and RFC variant are left alone, nil and all-ones
 * too; anything else gets version 8 and variant 10. */
struct id128 id_conforming(const struct id128 *id);
