/* secret.h: random secrets that clients carry: session ids and API tokens. Only their SHA-256 is stored. Any thread. */
#pragma once

#include "picket/base/str.h"

enum { SECRET_HASH_BYTES = 32, SESSION_CHARS = 43, TOKEN_CHARS = 40, TOKEN_PREFIX_CHARS = 8 };

void session_new(char ret[SESSION_CHARS + 1]); /* 32 random bytes, base64url: [A-Za-z0-9_-] (contract §1.2) */
void token_new(char ret[TOKEN_CHARS + 1]);     /* 20 random bytes, lower-case hex (contract §1.14) */
void secret_hash(struct str secret, uint8_t ret[SECRET_HASH_BYTES]);
/* From an Authorization header: "Bearer " (this case) and exactly 40 lower-case hex digits (contract §1.2). */
MUST_CHECK bool token_from_header(struct str authorization, struct str *ret);
/* The value of cookie `name` in a Cookie header; "" when absent. Borrowed. */
struct str cookie_value(struct str header, struct str name);
