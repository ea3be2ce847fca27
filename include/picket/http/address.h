/* address.h: client addresses as text and as 16 bytes (IPv4 is v4-mapped). Pure. */
#pragma once

#include "picket/base/str.h"

enum { HTTP_ADDRESS_MAX = 46 }; /* text with a final NUL */

/* "203.0.113.7", "203.0.113.7:443", "2001:db8::1", "[2001:db8::1]:443"; blanks around are fine. */
MUST_CHECK bool http_address_parse(struct str text, uint8_t ret[16]);
/* The first entry of X-Forwarded-For that is an address (protocol §1.4 notes). */
MUST_CHECK bool http_address_forwarded(struct str header, uint8_t ret[16]);
/* The last entry, if it is an address: the only one that the proxy in front wrote itself. */
MUST_CHECK bool http_address_proxied(struct str header, uint8_t ret[16]);
/* v4-mapped addresses as IPv4. Writes at most HTTP_ADDRESS_MAX bytes, returns the length. */
size_t http_address_format(const uint8_t addr[16], char *dst);
