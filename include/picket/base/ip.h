/* ip.h: addresses of the internet as text and as 16 bytes, where IPv4 stands v4-mapped (::ffff:0:0/96), so that both kinds compare and are kept alike.
 * Pure. What texts of the wire have around an address (ports, brackets, blanks): picket/http/address.h. */
#pragma once

#include "picket/base/str.h"

enum { IP_TEXT_MAX = 46 }; /* of the longest, with its NUL */

/* "203.0.113.7", "2001:db8::1", and nothing around it: no blanks, brackets, ports, zones, prefixes. False: *ret is as it was. */
MUST_CHECK bool ip_parse(struct str text, uint8_t ret[16]);
/* v4-mapped addresses as IPv4, IPv6 in its short form (RFC 5952). Writes at most IP_TEXT_MAX bytes with a NUL, returns the length. */
size_t ip_format(const uint8_t addr[16], char *dst);
bool ip_is_v4(const uint8_t addr[16]);
bool ip_is_unknown(const uint8_t addr[16]); /* all zero, which is nobody's */
