/* login.h: how a session begins. Private to src/api. */
#pragma once

#include "internal.h"

struct new_session { /* what the client carries: to be wiped */
    char text[SESSION_CHARS + 1];
    uint8_t hash[SECRET_HASH_BYTES];
};
/* Makes one, and binds its hash, its longest life, who and from where (api_bind_actor), and the user agent. */
void session_begin(struct db_query *q, struct http_call *call, struct new_session *ret);
/* The user and the cookie. */
void session_answer(struct http_call *call, int status, const struct new_session *session, int64_t user, struct str email, enum role role);
/* True: too many failures of this account or from this address, answered. */
bool login_throttled(struct http_call *call, struct str account);
void login_failed(struct http_call *call, struct str account); /* counts one */
