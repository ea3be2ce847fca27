/* guard.h: refuses request heads that two parsers could read differently (RFC 9112 §11.2, request smuggling) and that libh2o lets pass.
 * Pure; any thread. */
#pragma once

#include "picket/base/str.h"

enum { GUARD_MAX_HEAD = 64 << 10, GUARD_MAX_HEADERS = 100 };

/* `input` starts with a request head as it came (an empty line before it is fine); what follows the head is not looked at. 0, or
 * -ERR_BAD_REQUEST with the reason in *ret_why (static), or -ERR_HEAD_TOO_LARGE. Refused: Content-Length beside Transfer-Encoding, either of
 * them twice, a Content-Length that is not digits, Transfer-Encoding other than chunked or in HTTP/1.0, folded lines, names that are no
 * tokens, Host absent in HTTP/1.1, twice, empty or not a host, line feeds without carriage return and the reverse, a request line that is not a
 * token, a target and a version with one blank between. */
MUST_CHECK int guard_head(struct str input, struct str *ret_why);

/* For telling how large a body is that was not taken: what the head at the start of `input` announces; else the number of bytes behind it. */
uint64_t guard_body_bytes(struct str input);
